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

-- A field is one of Wireshark's, or several that share the same bytes, or a function of the tree and the bytes.
local function add(tree, field, tvb)
   if type(field) == "function" then field(tree, tvb)
   elseif type(field) == "table" then for _, each in ipairs(field) do tree:add(each, tvb) end
   else tree:add(field, tvb) end
end

-- Adds fields that stand one behind the other, each with its size in bytes, as far as there are bytes; gives what
-- each of them says, if it has at most 32 bits, and the place behind them.
local function lay(tree, layout, data, at)
   local said = {}
   for i = 1, #layout, 2 do
      local field, size = layout[i], layout[i + 1]
      if at + size > data:len() then break end
      local tvb = data(at, size)
      add(tree, field, tvb)
      said[#said + 1] = size <= 4 and tvb:uint() or false
      at = at + size
   end
   return said, at
end

-- A key of 32 bits is an IPv4 address.
local function key(raw, address)
   return function(tree, tvb)
      tree:add(raw, tvb)
      if tvb(0, 4):uint() == 0 and tvb(4, 4):uint() ~= 0 then tree:add(address, tvb(4, 4)) end
   end
end

-- It ends with a zero byte.
local function text(field)
   return function(tree, data)
      if not data:raw():find("\0", 1, true) then tree:add(f.data, data) return nil end
      local said = data:stringz(ENC_UTF_8)
      tree:add(field, data, said)
      return said
   end
end

local GROUP, SOURCE = key(f.group_key, f.group), key(f.source_key, f.source)
local ABOUT = { f.nat, f.relay, f.udp }
local RESERVED = {}

-- Of an Address, or of one inside a Sample, by its kind.
local ADDRESSES = { { f.host, 4, f.tcp, 2 }, { f.host6, 16, f.tcp, 2 } }

-- Gives the place behind it, nil where it is cut or unknown.
local function address(tree, kind, data, at)
   local layout = ADDRESSES[kind]
   if not layout or data:len() < at + layout[2] + layout[4] then return nil end
   return select(2, lay(tree, layout, data, at))
end

-- What stands in an object: fields and their sizes in bytes.  `least`: of them, bytes that there must be (all);
-- `kinds`: other fields by C-Type; `says`: a format, and which of the fields it is about; `read`: what is besides,
-- and its word, where fields alone do not say it.
local OBJECT = {
   [8] = { f.code, 2, f.sub_code, 2, says = { "%d/%d", 1, 2 } },
   [10] = { RESERVED, 2, f.seconds, 2 },
   [11] = { least = 1, read = text(f.name) },
   [64] = { f.node, 8 },
   [65] = { f.port, 2, RESERVED, 2, f.token, 8 },
   [66] = { GROUP, 8, SOURCE, 8 },
   [68] = {
      f.token, 8, f.origin, 8, GROUP, 8, SOURCE, 8, f.sequence, 4, f.time, 4, f.hop_limit, 1, f.class, 1,
      f.numbered, 1, f.low_water, 1, says = { "number %d", 5 },
   },
   [70] = { f.token, 8 },
   [71] = { least = 8, read = function(tree, data, kind)
      tree:add(f.echo, kind)
      tree:add(f.clock, data(0, 8))
   end },
   [72] = { least = 1, read = text(f.reason) },
   [73] = { f.uplink, 4, f.children, 2, f.role, 1, ABOUT, 1 },
   [74] = { least = 6, read = function(tree, data, kind) address(tree, kind:uint(), data, 0) end },
   [75] = { f.origin, 8, kinds = {
      { f.origin, 8, GROUP, 8, SOURCE, 8 }, { f.origin, 8, f.group, 4, f.source, 4 }, { f.digest, 8 },
   } },
   [76] = { f.sequence, 4, says = { "number %d", 1 } },
   [77] = { f.first, 4, f.last, 4, says = { "%d-%d", 1, 2 } },
   [78] = { f.free, 2, { f.stalled, f.on_beacon }, 1, f.poorest, 1, f.far, 2, least = 4 },
   [79] = { least = 4, read = function(tree, data)
      for at = 0, data:len() - 4, 4 do tree:add(f.hop, data(at, 4)) end
   end },
   [80] = { f.cost, 4 },
   [81] = { f.packets, 4, f.bits, 4 },
   [82] = { f.refusal, 2, read = function(_, data) return REFUSALS[data(0, 2):uint()] end },
   [83] = { f.back_off, 4 },
   [84] = { least = 2, read = function(tree, data, _, op)
      local field, names = f.peers, PEERS
      if op == 38 then field, names = f.find, FINDS end
      return names[lay(tree, { field, 1, f.ttl, 1 }, data, 0)[1]]
   end },
   [85] = {
      f.node, 8, ABOUT, 1, f.capacity, 1, f.age, 2,
      kinds = { [2] = {
         f.node, 8, ABOUT, 1, f.capacity, 1, f.age, 2, f.x, 2, f.y, 2, f.height, 2, f.error, 1,
      } },
      read = function(tree, data, _, _, at)
         while at and at + 1 < data:len() do at = address(tree, data(at, 1):uint(), data, at + 1) end
      end,
   },
   [86] = { f.estimate, 4 },
   [87] = { f.kept, 2, RESERVED, 2 },
   [88] = { f.block, 2, RESERVED, 2 },
   [89] = { f.sent, 4, f.received, 4, f.short, 4, says = { "%d sent, %d received", 1, 2 } },
   [90] = {
      f.digest, 8, f.first, 4, f.step, 1, f.row, 1, f.rows, 1, RESERVED, 1, f.members, 8, least = 28,
      says = { "from %d, row %d of %d", 2, 4, 5 },
      read = function(tree, data, _, _, at) tree:add(f.symbol, data(at)) end,
   },
}

local function least(layout)
   local size = 0
   for i = 2, #layout, 2 do size = size + layout[i] end
   return layout.least or size
end

-- Adds what stands in an object; gives its word for the message's line, if it has one.
local function read(tree, object, data, c_type, op)
   local kind = object.kinds and object.kinds[c_type:uint()]
   local said, at = lay(tree, kind or object, data, 0)
   local word = object.read and object.read(tree, data, c_type, op, at)
   if not object.says then return word end
   local values = {}
   for i = 2, #object.says do values[i - 1] = said[object.says[i]] end
   return string.format(object.says[1], (table.unpack or unpack)(values))
end

local HEAD = { { f.version, f.flags }, 1, f.op, 1, f.client, 2, f.length, 4 }

local function message(tvb, pinfo, root)
   local length = tvb(4, 4):uint()
   local op = tvb(1, 1):uint()
   local tree = root:add(mcmw, tvb(0, length), "Multicast Middleware, " .. (OPS[op] or "op code " .. op))
   lay(tree, HEAD, tvb, 0)
   local words, inner = { OPS[op] or "op code " .. op }, nil
   local at = HEADER
   while at + 4 <= length do
      local size, c_num, c_type = tvb(at, 2):uint(), tvb(at + 2, 1):uint(), tvb(at + 3, 1):uint()
      if size < 4 or at + size > length then
         tree:add_proto_expert_info(odd, "an object of " .. size .. " bytes")
         break
      end
      local branch = tree:add(mcmw, tvb(at, size), OBJECTS[c_num] or "object " .. c_num)
      local data = size > 4 and tvb(at + 4, size - 4)
      lay(branch, { f.object_length, 2, f.c_num, 1, c_num == 69 and f.inner or f.c_type, 1 }, tvb, at)
      if c_num == 69 then
         inner = { kind = c_type, tvb = data and data:tvb() or nil }
      elseif data and OBJECT[c_num] and size - 4 >= least(OBJECT[c_num]) then
         words[#words + 1] = read(branch, OBJECT[c_num], data, tvb(at + 3, 1), op)
      elseif data then
         branch:add(f.data, data)
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
      if piece then key(raw, address)(tree, piece) end
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

local PROBE_HEAD = {
   p.version, 1, p.kind, 1, p.run, 4, p.asker, 8, p.round, 2, p.part, 1, p.parts, 1, p.time, 4,
}

function probe.dissector(tvb, pinfo, root)
   if tvb:len() < 24 or tvb(0, 2):string() ~= "MP" or tvb(2, 1):uint() ~= 1 then return 0 end
   local kind = tvb(3, 1):uint()
   local tree = root:add(probe, tvb(), "Multicast Middleware, " .. (KINDS_ASKED[kind] or "kind " .. kind))
   lay(tree, PROBE_HEAD, tvb, 2)
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
