-- Wireshark's view of the Multicast Middleware's links (docs/protocol.rst).
--
--   wireshark -X lua_script:etc/wireshark/mcmw.lua         or into the folder of personal Lua plugins
--   tshark -X lua_script:etc/wireshark/mcmw.lua -r capture.pcapng -Y mcmw
--
-- TCP and UDP port 4600; for others: Decode As, MCMW.  Inside TLS nothing can be seen.

local mcmw = Proto("mcmw", "Multicast Middleware")

local OPS = {
   [6] = "Open", [8] = "Close", [9] = "Keep Alive", [32] = "Add Route", [33] = "Remove Route", [34] = "IP Data",
   [35] = "Have", [36] = "Nack", [37] = "Peers", [38] = "Find", [39] = "Parity", [40] = "Register",
   [41] = "Registered",
}
local OBJECTS = {
   [8] = "Error", [10] = "Keep Alive Timer", [11] = "PEPID", [64] = "Node", [65] = "Data Port", [66] = "Group",
   [68] = "Forwarding", [69] = "Packet", [70] = "Token", [71] = "Echo", [72] = "Reason",
   [73] = "Capabilities", [74] = "Address", [75] = "Stream", [76] = "Sequence", [77] = "Range", [78] = "Load",
   [79] = "Path", [80] = "Cost", [81] = "Rate", [82] = "Refusal", [83] = "Back-off", [84] = "Kind",
   [85] = "Sample", [86] = "Estimate", [87] = "Recovery", [88] = "Correction",
   [89] = "Tally", [90] = "Parity",
}
local ROLES = { [1] = "member", [2] = "relay", [3] = "sender only" }
local REFUSALS = {
   [1] = "left", [2] = "full", [3] = "congested", [4] = "no data", [5] = "loop", [6] = "misbehaved",
   [7] = "no relay",
}
local PEERS = {
   [1] = "join", [2] = "forward join", [3] = "neighbour", [4] = "neighbour, no", [5] = "shuffle",
   [6] = "shuffle reply", [7] = "disconnect", [8] = "connect back",
}
local FINDS = { [1] = "query", [2] = "register", [3] = "reply" }
local KINDS = { [1] = "IPv4", [2] = "IPv6", [3] = "sealed" }
local ECHOES = { [1] = "request", [2] = "reply" }

local f = mcmw.fields
f.version = ProtoField.uint8("mcmw.version", "Version", base.DEC, nil, 0xf0)
f.flags = ProtoField.uint8("mcmw.flags", "Flags", base.HEX, nil, 0x0f)
f.op = ProtoField.uint8("mcmw.op", "Op code", base.DEC, OPS)
f.client = ProtoField.uint16("mcmw.client_type", "Client type", base.HEX)
f.length = ProtoField.uint32("mcmw.length", "Message length")
f.object_length = ProtoField.uint16("mcmw.object.length", "Object length")
f.c_num = ProtoField.uint8("mcmw.object.c_num", "C-Num", base.DEC, OBJECTS)
f.c_type = ProtoField.uint8("mcmw.object.c_type", "C-Type")
f.data = ProtoField.bytes("mcmw.object.data", "Data")
f.code = ProtoField.uint16("mcmw.error.code", "Error code")
f.sub_code = ProtoField.uint16("mcmw.error.sub_code", "Error sub-code")
f.seconds = ProtoField.uint16("mcmw.keep_alive", "Keep alive timer, seconds")
f.name = ProtoField.string("mcmw.name", "Node name")
f.node = ProtoField.uint64("mcmw.node", "Node id", base.HEX)
f.port = ProtoField.uint16("mcmw.data_port", "UDP port")
f.token = ProtoField.uint64("mcmw.token", "Link token", base.HEX)
f.group_key = ProtoField.uint64("mcmw.group_key", "Group key", base.HEX)
f.source_key = ProtoField.uint64("mcmw.source_key", "Source key", base.HEX)
f.group = ProtoField.ipv4("mcmw.group", "Group")
f.source = ProtoField.ipv4("mcmw.source", "Source")
f.origin = ProtoField.uint64("mcmw.origin", "Origin", base.HEX)
f.sequence = ProtoField.uint32("mcmw.sequence", "Sequence")
f.time = ProtoField.uint32("mcmw.origin_time", "Origin time, microseconds modulo 2^32")
f.hop_limit = ProtoField.uint8("mcmw.hop_limit", "Hop limit")
f.class = ProtoField.uint8("mcmw.class", "Class")
f.numbered = ProtoField.bool("mcmw.by_kernel", "Numbered by the kernel", 8, nil, 0x01)
f.low_water = ProtoField.uint8("mcmw.low_water", "Low water")
f.reason = ProtoField.string("mcmw.reason", "Reason")
f.echo = ProtoField.uint8("mcmw.echo", "Echo", base.DEC, ECHOES)
f.clock = ProtoField.uint64("mcmw.echo.clock", "Sender's clock")
f.uplink = ProtoField.uint32("mcmw.uplink", "Uplink, kbit/s")
f.children = ProtoField.uint16("mcmw.children", "Children at most")
f.role = ProtoField.uint8("mcmw.role", "Role", base.DEC, ROLES)
f.nat = ProtoField.bool("mcmw.about.nat", "Nobody can dial it", 8, nil, 0x01)
f.relay = ProtoField.bool("mcmw.about.relay", "Relay", 8, nil, 0x02)
f.udp = ProtoField.bool("mcmw.about.udp", "Takes datagrams", 8, nil, 0x04)
f.host = ProtoField.ipv4("mcmw.address", "Address")
f.host6 = ProtoField.ipv6("mcmw.address6", "Address")
f.tcp = ProtoField.uint16("mcmw.tcp_port", "TCP port")
f.first = ProtoField.uint32("mcmw.range.first", "First")
f.last = ProtoField.uint32("mcmw.range.last", "Last")
f.free = ProtoField.uint16("mcmw.free", "Free slots")
f.stalled = ProtoField.bool("mcmw.stalled", "Stalled", 8, nil, 0x01)
f.on_beacon = ProtoField.bool("mcmw.on_beacon", "Of a beacon", 8, nil, 0x02)
f.poorest = ProtoField.uint8("mcmw.poorest", "Slots of the poorest child")
f.far = ProtoField.uint16("mcmw.far", "Round trip to it, ms")
f.digest = ProtoField.uint64("mcmw.digest", "Digest of the stream", base.HEX)
f.x = ProtoField.int16("mcmw.place.x", "x, tenths of a millisecond")
f.y = ProtoField.int16("mcmw.place.y", "y, tenths of a millisecond")
f.height = ProtoField.uint16("mcmw.place.height", "Height, tenths of a millisecond")
f.error = ProtoField.uint8("mcmw.place.error", "Error, percent")
f.hop = ProtoField.uint32("mcmw.path", "Passed by a node, upper half of its id", base.HEX)
f.cost = ProtoField.uint32("mcmw.cost", "Cost, microseconds")
f.packets = ProtoField.uint32("mcmw.rate", "Packets a second")
f.bits = ProtoField.uint32("mcmw.kbits", "kbit/s")
f.refusal = ProtoField.uint16("mcmw.refusal", "Why", base.DEC, REFUSALS)
f.back_off = ProtoField.uint32("mcmw.back_off", "Not to be asked for, ms")
f.peers = ProtoField.uint8("mcmw.peers", "Kind", base.DEC, PEERS)
f.find = ProtoField.uint8("mcmw.find", "Kind", base.DEC, FINDS)
f.ttl = ProtoField.uint8("mcmw.ttl", "TTL")
f.capacity = ProtoField.uint8("mcmw.capacity", "Uplink, log2 of kbit/s")
f.age = ProtoField.uint16("mcmw.age", "Heard of, seconds ago")
f.estimate = ProtoField.uint32("mcmw.estimate", "Nodes, estimated")
f.kept = ProtoField.uint16("mcmw.kept", "Keeps what it sends, ms")
f.block = ProtoField.uint16("mcmw.block", "Packets of a block at most")
f.sent = ProtoField.uint32("mcmw.tally.sent", "Packets sent")
f.received = ProtoField.uint32("mcmw.tally.received", "Packets received")
f.short = ProtoField.uint32("mcmw.tally.short", "Packets that could not be rebuilt")
f.step = ProtoField.uint8("mcmw.parity.step", "Step")
f.row = ProtoField.uint8("mcmw.parity.row", "Row")
f.rows = ProtoField.uint8("mcmw.parity.rows", "Rows")
f.members = ProtoField.uint64("mcmw.parity.members", "Members", base.HEX)
f.symbol = ProtoField.bytes("mcmw.parity.symbol", "Symbol")
f.inner = ProtoField.uint8("mcmw.inner", "Inner packet", base.DEC, KINDS)

local odd = ProtoExpert.new("mcmw.odd", "is not what it says", expert.group.MALFORMED, expert.severity.ERROR)
mcmw.experts = { odd }

local ip, ipv6 = Dissector.get("ip"), Dissector.get("ipv6")
local HEADER = 8

-- A key of 32 bits is an IPv4 address.
local function key(tree, tvb, raw, address)
   tree:add(raw, tvb)
   if tvb(0, 4):uint() == 0 and tvb(4, 4):uint() ~= 0 then tree:add(address, tvb(4, 4)) end
end

local function about(tree, flags)
   for _, field in ipairs({ f.nat, f.relay, f.udp }) do tree:add(field, flags) end
end

-- Of an Address, or of one inside a Sample; gives what is behind it, nil where it is cut or unknown.
local function address(tree, kind, data)
   local size = ({ 4, 16 })[kind]
   if not size or data:len() < size + 2 then return nil end
   tree:add(kind == 1 and f.host or f.host6, data(0, size))
   tree:add(f.tcp, data(size, 2))
   return size + 2
end

local readers = {
   [8] = { size = 4, read = function(tree, data)
      tree:add(f.code, data(0, 2))
      tree:add(f.sub_code, data(2, 2))
      return string.format("%d/%d", data(0, 2):uint(), data(2, 2):uint())
   end },
   [10] = { size = 4, read = function(tree, data)
      tree:add(f.seconds, data(2, 2))
   end },
   [11] = { size = 1, read = function(tree, data)
      tree:add(f.name, data, data:stringz(ENC_UTF_8))
      return data:stringz(ENC_UTF_8)
   end },
   [64] = { size = 8, read = function(tree, data)
      tree:add(f.node, data(0, 8))
   end },
   [65] = { size = 12, read = function(tree, data)
      tree:add(f.port, data(0, 2))
      tree:add(f.token, data(4, 8))
   end },
   [66] = { size = 16, read = function(tree, data)
      key(tree, data(0, 8), f.group_key, f.group)
      key(tree, data(8, 8), f.source_key, f.source)
   end },
   [68] = { size = 44, read = function(tree, data)
      tree:add(f.token, data(0, 8))
      tree:add(f.origin, data(8, 8))
      key(tree, data(16, 8), f.group_key, f.group)
      key(tree, data(24, 8), f.source_key, f.source)
      tree:add(f.sequence, data(32, 4))
      tree:add(f.time, data(36, 4))
      tree:add(f.hop_limit, data(40, 1))
      tree:add(f.class, data(41, 1))
      tree:add(f.numbered, data(42, 1))
      tree:add(f.low_water, data(43, 1))
      return string.format("number %d", data(32, 4):uint())
   end },
   [70] = { size = 8, read = function(tree, data)
      tree:add(f.token, data(0, 8))
   end },
   [72] = { size = 1, read = function(tree, data)
      tree:add(f.reason, data, data:stringz(ENC_UTF_8))
      return data:stringz(ENC_UTF_8)
   end },
   [71] = { size = 8, read = function(tree, data, kind)
      tree:add(f.echo, kind)
      tree:add(f.clock, data(0, 8))
   end },
   [73] = { size = 8, read = function(tree, data)
      tree:add(f.uplink, data(0, 4))
      tree:add(f.children, data(4, 2))
      tree:add(f.role, data(6, 1))
      about(tree, data(7, 1))
   end },
   [74] = { size = 6, read = function(tree, data, kind)
      address(tree, kind:uint(), data)
   end },
   [75] = { size = 8, read = function(tree, data, kind)
      if kind:uint() == 3 then
         tree:add(f.digest, data(0, 8))
         return
      end
      tree:add(f.origin, data(0, 8))
      if kind:uint() == 1 and data:len() >= 24 then
         key(tree, data(8, 8), f.group_key, f.group)
         key(tree, data(16, 8), f.source_key, f.source)
      elseif kind:uint() == 2 and data:len() >= 16 then
         tree:add(f.group, data(8, 4))
         tree:add(f.source, data(12, 4))
      end
   end },
   [76] = { size = 4, read = function(tree, data)
      tree:add(f.sequence, data(0, 4))
      return string.format("number %d", data(0, 4):uint())
   end },
   [77] = { size = 8, read = function(tree, data)
      tree:add(f.first, data(0, 4))
      tree:add(f.last, data(4, 4))
      return string.format("%d-%d", data(0, 4):uint(), data(4, 4):uint())
   end },
   [78] = { size = 4, read = function(tree, data)
      tree:add(f.free, data(0, 2))
      tree:add(f.stalled, data(2, 1))
      tree:add(f.on_beacon, data(2, 1))
      tree:add(f.poorest, data(3, 1))
      if data:len() >= 6 then tree:add(f.far, data(4, 2)) end
   end },
   [79] = { size = 4, read = function(tree, data)
      for at = 0, data:len() - 4, 4 do tree:add(f.hop, data(at, 4)) end
   end },
   [80] = { size = 4, read = function(tree, data)
      tree:add(f.cost, data(0, 4))
   end },
   [81] = { size = 8, read = function(tree, data)
      tree:add(f.packets, data(0, 4))
      tree:add(f.bits, data(4, 4))
   end },
   [82] = { size = 2, read = function(tree, data)
      tree:add(f.refusal, data(0, 2))
      return REFUSALS[data(0, 2):uint()]
   end },
   [83] = { size = 4, read = function(tree, data)
      tree:add(f.back_off, data(0, 4))
   end },
   [84] = { size = 2, read = function(tree, data, _, op)
      local names = op == 38 and FINDS or PEERS
      tree:add(op == 38 and f.find or f.peers, data(0, 1))
      tree:add(f.ttl, data(1, 1))
      return names[data(0, 1):uint()]
   end },
   [85] = { size = 12, read = function(tree, data, kind)
      tree:add(f.node, data(0, 8))
      about(tree, data(8, 1))
      tree:add(f.capacity, data(9, 1))
      tree:add(f.age, data(10, 2))
      local at = 12
      if kind:uint() == 2 then
         if data:len() < 19 then return end
         tree:add(f.x, data(12, 2))
         tree:add(f.y, data(14, 2))
         tree:add(f.height, data(16, 2))
         tree:add(f.error, data(18, 1))
         at = 19
      end
      while at + 1 < data:len() do
         local length = address(tree, data(at, 1):uint(), data(at + 1))
         if not length then break end
         at = at + 1 + length
      end
   end },
   [86] = { size = 4, read = function(tree, data)
      tree:add(f.estimate, data(0, 4))
   end },
   [87] = { size = 4, read = function(tree, data)
      tree:add(f.kept, data(0, 2))
   end },
   [88] = { size = 4, read = function(tree, data)
      tree:add(f.block, data(0, 2))
   end },
   [89] = { size = 12, read = function(tree, data)
      tree:add(f.sent, data(0, 4))
      tree:add(f.received, data(4, 4))
      tree:add(f.short, data(8, 4))
      return string.format("%d sent, %d received", data(0, 4):uint(), data(4, 4):uint())
   end },
   [90] = { size = 28, read = function(tree, data)
      tree:add(f.digest, data(0, 8))
      tree:add(f.first, data(8, 4))
      tree:add(f.step, data(12, 1))
      tree:add(f.row, data(13, 1))
      tree:add(f.rows, data(14, 1))
      tree:add(f.members, data(16, 8))
      tree:add(f.symbol, data(24))
      return string.format("from %d, row %d of %d", data(8, 4):uint(), data(13, 1):uint(), data(14, 1):uint())
   end },
}

local function message(tvb, pinfo, root)
   local length = tvb(4, 4):uint()
   local op = tvb(1, 1):uint()
   local tree = root:add(mcmw, tvb(0, length), "Multicast Middleware, " .. (OPS[op] or "op code " .. op))
   tree:add(f.version, tvb(0, 1))
   tree:add(f.flags, tvb(0, 1))
   tree:add(f.op, tvb(1, 1))
   tree:add(f.client, tvb(2, 2))
   tree:add(f.length, tvb(4, 4))
   local words, inner = { OPS[op] or "op code " .. op }, nil
   local at = HEADER
   while at + 4 <= length do
      local size, c_num, c_type = tvb(at, 2):uint(), tvb(at + 2, 1):uint(), tvb(at + 3, 1):uint()
      if size < 4 or at + size > length then
         tree:add_proto_expert_info(odd, "an object of " .. size .. " bytes")
         break
      end
      local object = tree:add(mcmw, tvb(at, size), OBJECTS[c_num] or "object " .. c_num)
      object:add(f.object_length, tvb(at, 2))
      object:add(f.c_num, tvb(at + 2, 1))
      local reader = readers[c_num]
      if c_num == 69 then
         object:add(f.inner, tvb(at + 3, 1))
         inner = { kind = c_type, tvb = size > 4 and tvb(at + 4, size - 4):tvb() or nil }
      elseif reader and size - 4 >= reader.size then
         object:add(f.c_type, tvb(at + 3, 1))
         words[#words + 1] = reader.read(object, tvb(at + 4, size - 4), tvb(at + 3, 1), op)
      else
         object:add(f.c_type, tvb(at + 3, 1))
         if size > 4 then object:add(f.data, tvb(at + 4, size - 4)) end
      end
      at = at + size + (-size) % 4
   end
   local text = table.concat(words, ", ")
   pinfo.cols.protocol = "MCMW"
   pinfo.cols.info = text
   if inner and inner.tvb and inner.kind == 1 then
      ip:call(inner.tvb, pinfo, root)
   elseif inner and inner.tvb and inner.kind == 2 then
      ipv6:call(inner.tvb, pinfo, root)
   end
   if inner then pinfo.cols.info:prepend(text .. " | ") end
   return length
end

local function is_ours(tvb)
   if tvb:len() < HEADER or tvb(0, 1):bitfield(0, 4) ~= 1 then return false end
   local client, length = tvb(2, 2):uint(), tvb(4, 4):uint()
   return (client == 0x4d43 or client == 0) and length >= HEADER and length % 4 == 0
end

function mcmw.dissector(tvb, pinfo, root)
   if pinfo.port_type == 2 then -- TCP
      dissect_tcp_pdus(tvb, root, HEADER, function(piece) return piece(4, 4):uint() end, message)
      return tvb:len()
   end
   if not is_ours(tvb) or tvb(4, 4):uint() > tvb:len() then return 0 end
   return message(tvb, pinfo, root)
end

DissectorTable.get("tcp.port"):add(4600, mcmw)
DissectorTable.get("udp.port"):add(4600, mcmw)

-- What nodes ask each other through the overlay itself (docs/protocol.rst, "Questions between nodes").
local probe = Proto("mcmw_probe", "Multicast Middleware, a question between nodes")

local KINDS_ASKED = {
   [1] = "Ping", [2] = "Ping answer", [3] = "Survey", [4] = "Probe", [5] = "Collect", [6] = "Report", [7] = "Trace",
   [8] = "Trace answer",
}

local p = probe.fields
p.version = ProtoField.uint8("mcmw_probe.version", "Version")
p.kind = ProtoField.uint8("mcmw_probe.kind", "Kind", base.DEC, KINDS_ASKED)
p.run = ProtoField.uint32("mcmw_probe.run", "Run", base.HEX)
p.asker = ProtoField.uint64("mcmw_probe.asker", "Asker", base.HEX)
p.round = ProtoField.uint16("mcmw_probe.round", "Round")
p.part = ProtoField.uint8("mcmw_probe.part", "Part")
p.parts = ProtoField.uint8("mcmw_probe.parts", "Parts")
p.time = ProtoField.uint32("mcmw_probe.time", "Time, microseconds")
p.group_key = ProtoField.uint64("mcmw_probe.group_key", "Group key", base.HEX)
p.source_key = ProtoField.uint64("mcmw_probe.source_key", "Source key", base.HEX)
p.group = ProtoField.ipv4("mcmw_probe.group", "Group")
p.source = ProtoField.ipv4("mcmw_probe.source", "Source")
p.node = ProtoField.uint64("mcmw_probe.node", "Node id", base.HEX)
p.hosts = ProtoField.uint32("mcmw_probe.hosts", "Hosts")
p.since = ProtoField.int32("mcmw_probe.since", "Since, seconds")
p.name = ProtoField.string("mcmw_probe.name", "Name")
p.probes = ProtoField.uint8("mcmw_probe.probes", "Probes")
p.interval = ProtoField.uint16("mcmw_probe.interval", "Interval, milliseconds")
p.number = ProtoField.uint8("mcmw_probe.number", "Number")
p.got = ProtoField.uint8("mcmw_probe.got", "Got")
p.hops = ProtoField.uint8("mcmw_probe.hops", "Hops")
p.least = ProtoField.uint32("mcmw_probe.least", "Shortest way, by two clocks, microseconds")
p.mean_above = ProtoField.uint32("mcmw_probe.mean_above", "Above it on average, microseconds")
p.most_above = ProtoField.uint32("mcmw_probe.most_above", "Above it at most, microseconds")
p.clock = ProtoField.uint32("mcmw_probe.clock", "Clock, microseconds")
p.flags = ProtoField.uint8("mcmw_probe.flags", "Flags", base.HEX)
p.count = ProtoField.uint64("mcmw_probe.count", "Count")
p.origin = ProtoField.uint64("mcmw_probe.origin", "Origin", base.HEX)

local cut = ProtoExpert.new("mcmw_probe.cut", "ends too soon", expert.group.MALFORMED, expert.severity.ERROR)
probe.experts = { cut }

-- Reads field after field; `false` from where one is missing.
local function reader(tree, tvb)
   local at = 0
   local self = {}
   function self.take(size)
      if not at or at + size > tvb:len() then at = nil return nil end
      at = at + size
      return tvb(at - size, size)
   end
   function self.add(field, size, label)
      local piece = self.take(size)
      if not piece then return nil end
      local item = tree:add(field, piece)
      if label then item:prepend_text(label .. ": ") end
      return piece
   end
   function self.key(raw, address)
      local piece = self.take(8)
      if piece then key(tree, piece, raw, address) end
   end
   function self.text()
      local size = self.take(1)
      if size and size:uint() > 0 then self.add(p.name, size:uint()) end
   end
   function self.each(read)
      local many = self.take(1)
      for _ = 1, many and many:uint() or 0 do
         if not at then return end
         read()
      end
   end
   function self.is_whole() return at ~= nil end
   return self
end

local function nodes(r) r.each(function() r.add(p.node, 8) end) end

local bodies = {
   [1] = function(r) r.key(p.group_key, p.group) r.key(p.source_key, p.source) nodes(r) end,
   [2] = function(r) r.add(p.hosts, 4) r.add(p.since, 4) r.each(r.text) end,
   [3] = function(r) r.add(p.probes, 1) r.add(p.interval, 2) end,
   [4] = function(r) r.add(p.number, 1) end,
   [5] = nodes,
   [6] = function(r)
      r.add(p.probes, 1)
      r.each(function()
         r.add(p.node, 8) r.add(p.got, 1) r.add(p.hops, 1)
         r.add(p.least, 4) r.add(p.mean_above, 4) r.add(p.most_above, 4)
      end)
   end,
   [8] = function(r)
      r.add(p.clock, 4) r.key(p.source_key, p.source) r.add(p.flags, 1)
      for _, label in ipairs({ "Packets", "Bytes", "To nobody", "Died of their TTL", "Numbered here" }) do
         r.add(p.count, 8, label)
      end
      r.text()
      r.take(2)
      r.each(function() r.add(p.node, 8) r.text() end)
      r.each(function()
         r.add(p.origin, 8) r.add(p.node, 8)
         for _, label in ipairs({ "Received", "Lost", "Twice", "Out of order" }) do r.add(p.count, 8, label) end
      end)
   end,
}
bodies[7] = bodies[1]

function probe.dissector(tvb, pinfo, root)
   if tvb:len() < 24 or tvb(0, 2):string() ~= "MP" or tvb(2, 1):uint() ~= 1 then return 0 end
   local kind = tvb(3, 1):uint()
   local tree = root:add(probe, tvb(), "Multicast Middleware, " .. (KINDS_ASKED[kind] or "kind " .. kind))
   tree:add(p.version, tvb(2, 1))
   tree:add(p.kind, tvb(3, 1))
   tree:add(p.run, tvb(4, 4))
   tree:add(p.asker, tvb(8, 8))
   tree:add(p.round, tvb(16, 2))
   tree:add(p.part, tvb(18, 1))
   tree:add(p.parts, tvb(19, 1))
   tree:add(p.time, tvb(20, 4))
   if bodies[kind] and tvb:len() > 24 then
      local r = reader(tree, tvb(24):tvb())
      bodies[kind](r)
      if not r.is_whole() then tree:add_proto_expert_info(cut) end
   end
   pinfo.cols.protocol = "MCMW"
   pinfo.cols.info = (KINDS_ASKED[kind] or "kind " .. kind) .. ", run " .. tostring(tvb(4, 4))
   return tvb:len()
end

DissectorTable.get("udp.port"):add(19780, probe)
