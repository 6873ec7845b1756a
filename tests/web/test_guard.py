"""Who may ask for what: each rule, and what it is against."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from multicastmw.web.guard import HEADERS, URI_MAX, Asked, Guard, is_plain, names_this_host, without_token

TOKEN = "a-token-of-sixteen-signs"
HERE = Guard(here=True, token="", node="00ff")
OPEN = Guard(here=False, token=TOKEN, node="00ff")
GET = Asked(b"GET", b"/status", hosts=("127.0.0.1:8080",))
POST = replace(GET, method=b"POST")


class Case(SynchronousTestCase):
    def code(self, guard: Guard, asked: Asked) -> int:
        """200 where it may pass."""
        refused = guard.judge(asked)
        return refused.code if refused else 200

    def why(self, guard: Guard, asked: Asked) -> str:
        refused = guard.judge(asked)
        return refused.why if refused else "passed"


class Paths(Case):
    def test_plain_ones_pass_with_whatever_query(self) -> None:
        for uri in (
            b"/",
            b"/status",
            b"/udp/239.1.1.1:5004",
            b"/udp/239.1.1.1%3A5004?source=10.0.0.1",
            b"/a/b/c",
            b"/page/app.css?v=../..",
            b"/names/%C3%A9",
            b"/...",
            b"/.well-known",
        ):
            self.assertEqual(200, self.code(HERE, replace(GET, uri=uri)), uri)

    def test_tricks_do_not(self) -> None:
        for uri in (
            b"/../etc/passwd",
            b"/a/../b",
            b"/.",
            b"/a/.",
            b"/%2e%2e/x",
            b"/a/%2E%2e",
            b"/a%2fb",
            b"/a%2Fb",
            b"/a%5cb",
            b"/a\\b",
            b"/%00",
            b"/a%00.css",
            b"/a%0d%0aX: y",
            b"/a%7f",
            b"/\xe9",
            b"/%ff%fe",
            b"*",
            b"",
            b"status",
            b"http://127.0.0.1/status",
            b"/a b",
            b"/a\tb",
        ):
            self.assertEqual(400, self.code(HERE, replace(GET, uri=uri)), uri)

    def test_a_very_long_one_does_not(self) -> None:
        self.assertEqual(200, self.code(HERE, replace(GET, uri=b"/" + b"x" * (URI_MAX - 1))))
        self.assertEqual(414, self.code(HERE, replace(GET, uri=b"/" + b"x" * URI_MAX)))

    @given(st.binary(max_size=60))
    def test_of_any_bytes_that_pass_no_part_leads_elsewhere(self, uri: bytes) -> None:
        from urllib.parse import unquote_to_bytes

        if is_plain(uri):
            parts = [unquote_to_bytes(part) for part in uri.split(b"?")[0].split(b"/")]
            self.assertEqual(
                [], [part for part in parts if part in (b".", b"..") or b"/" in part or b"\0" in part]
            )

    @given(
        st.builds(
            Asked,
            st.sampled_from([b"GET", b"POST", b"X", b""]),
            st.binary(max_size=40),
            st.lists(st.text(max_size=20), max_size=2).map(tuple),
            st.text(max_size=10),
            st.text(max_size=10),
            st.text(max_size=10),
            st.text(max_size=10),
            st.text(max_size=30),
            st.text(max_size=30),
        )
    )
    def test_nothing_that_is_asked_raises_nor_passes_without_the_token(self, asked: Asked) -> None:
        HERE.judge(asked)
        refused = OPEN.judge(asked)
        self.assertTrue(refused)
        assert refused
        self.assertNotIn(TOKEN, refused.line)


class Methods(Case):
    def test_what_http_has_and_nothing_else(self) -> None:
        for method in (b"TRACE", b"CONNECT", b"OPTIONS", b"PROPFIND", b"get", b"\xff", b""):
            self.assertEqual(501, self.code(HERE, replace(GET, method=method)), method)
        self.assertEqual(200, self.code(HERE, replace(GET, method=b"HEAD")))


class Hosts(Case):
    """DNS rebinding: a page of another site whose name leads to the loopback by now."""

    def test_those_of_the_loopback_pass(self) -> None:
        for host in (
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9:80",
            "localhost",
            "LocalHost:8080",
            "[::1]:8080",
            "node.localhost:1",
            "localhost.",
        ):
            self.assertEqual(200, self.code(HERE, replace(GET, hosts=(host,))), host)

    def test_others_do_not(self) -> None:
        for host in (
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "127.0.0.1@evil",
            "127.0.0.1:8080:1",
            "",
            " ",
            "127.0.0.1 ",
            "\ufffd",
            "2130706433",
            "[::1",
        ):
            self.assertEqual("foreign_host", self.why(HERE, replace(GET, hosts=(host,))), host)
        self.assertEqual(400, self.code(HERE, replace(GET, hosts=())))
        self.assertEqual(400, self.code(HERE, replace(GET, hosts=("localhost", "evil.example"))))

    def test_a_unix_socket_is_reached_by_no_browser(self) -> None:
        self.assertEqual(200, self.code(replace(HERE, is_socket=True), replace(GET, hosts=())))

    @given(st.text(max_size=30))
    def test_any_text_is_a_host_of_ours_or_not(self, host: str) -> None:
        self.assertIn(names_this_host(host), (True, False))


class Tokens(Case):
    def test_without_one_nothing_is_had_where_others_reach_the_door(self) -> None:
        refused = OPEN.judge(GET)
        assert refused
        self.assertEqual((401, ""), (refused.code, refused.why))
        self.assertIn((b"www-authenticate", b'Bearer realm="mcmw"'), refused.headers)
        self.assertIn("mcmw web", refused.line)

    def test_the_header_has_it(self) -> None:
        for text in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            self.assertEqual(200, self.code(OPEN, replace(GET, authorization=text)))
        for text in (f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer "):
            self.assertEqual(
                ("", 401),
                (
                    self.why(OPEN, replace(GET, authorization=text)),
                    self.code(OPEN, replace(GET, authorization=text)),
                ),
            )

    def test_a_wrong_one_is_told_from_none(self) -> None:
        for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\ufffd", "é"):
            self.assertEqual("wrong_token", self.why(OPEN, replace(GET, authorization=f"Bearer {wrong}")))
            self.assertEqual("wrong_token", self.why(OPEN, replace(GET, cookie=wrong)))
        self.assertEqual("wrong_token", self.why(OPEN, replace(GET, uri=b"/status?token=x")))

    def test_in_the_url_it_is_exchanged_for_a_cookie_and_taken_out(self) -> None:
        refused = OPEN.judge(replace(GET, uri=f"/a/b?x=1&token={TOKEN}&y=".encode()))
        assert refused
        headers = dict(refused.headers)
        self.assertEqual((303, b"/a/b?x=1&y="), (refused.code, headers[b"location"]))
        self.assertEqual(
            f"mcmw-00ff={OPEN.ticket}; Path=/; HttpOnly; SameSite=Strict".encode(), headers[b"set-cookie"]
        )
        secure = OPEN.judge(replace(GET, uri=f"/?token={TOKEN}".encode(), is_secure=True))
        assert secure
        self.assertTrue(dict(secure.headers)[b"set-cookie"].endswith(b"; Secure"))
        self.assertEqual(200, self.code(OPEN, replace(GET, cookie=OPEN.ticket)))

    def test_the_cookie_is_no_token_and_ends_with_the_node(self) -> None:
        self.assertEqual("wrong_token", self.why(OPEN, replace(GET, cookie=TOKEN)))
        self.assertEqual("wrong_token", self.why(OPEN, replace(GET, authorization=f"Bearer {OPEN.ticket}")))
        started_anew = replace(OPEN, salt=b"another")
        self.assertEqual("wrong_token", self.why(started_anew, replace(GET, cookie=OPEN.ticket)))

    def test_a_player_follows_no_such_way_so_a_streams_url_keeps_it(self) -> None:
        for path in ("/udp/239.1.1.1:5004", "/rtp/239.1.1.1:5004", "/sessions.m3u", "/session/00ff.sdp"):
            self.assertEqual(200, self.code(OPEN, replace(GET, uri=f"{path}?token={TOKEN}".encode())))

    def test_what_a_player_is_given_opens_streams_in_a_url_and_nothing_else(self) -> None:
        given = OPEN.stream_pass
        self.assertNotIn(given, (TOKEN, OPEN.ticket, ""))
        for path in ("/udp/239.1.1.1:5004", "/session/00ff.sdp"):
            self.assertEqual(
                200, self.code(OPEN, replace(GET, uri=f"{path}?source=1&token={given}".encode()))
            )
        for path in ("/", "/status", "/live", "/metrics", "/streams/watch"):
            asked = replace(GET, uri=f"{path}?token={given}".encode())
            self.assertEqual("wrong_token", self.why(OPEN, asked), path)
        stream = replace(GET, uri=b"/udp/239.1.1.1:5004")
        self.assertEqual("wrong_token", self.why(OPEN, replace(stream, cookie=given)))
        self.assertEqual("wrong_token", self.why(OPEN, replace(stream, authorization=f"Bearer {given}")))
        asked = replace(GET, uri=f"/udp/239.1.1.1:5004?token={given}".encode())
        self.assertEqual("wrong_token", self.why(replace(OPEN, salt=b"another"), asked))
        self.assertEqual("", HERE.stream_pass)

    def test_in_the_url_of_what_changes_something_it_counts_for_nothing(self) -> None:
        post = replace(POST, uri=f"/?token={TOKEN}".encode(), fetch_site="same-origin")
        self.assertEqual(401, self.code(OPEN, post))

    def test_the_way_on_never_leads_to_another_host(self) -> None:
        for uri in (b"//evil.example/?token=x", b"///evil.example?token=x"):
            self.assertTrue(without_token(uri).startswith(b"/evil"), uri)

    def test_one_that_is_given_is_asked_for_on_the_loopback_too(self) -> None:
        guard = replace(HERE, token=TOKEN)
        self.assertEqual(401, self.code(guard, GET))
        self.assertEqual(200, self.code(guard, replace(GET, cookie=OPEN.ticket)))
        self.assertEqual(421, self.code(guard, replace(GET, cookie=OPEN.ticket, hosts=("evil.example",))))


class Origins(Case):
    def test_what_changes_something_says_that_it_comes_from_here(self) -> None:
        ours = "http://127.0.0.1:8080"
        for said in (
            {"origin": ours},
            {"fetch_site": "same-origin"},
            {"origin": ours, "fetch_site": "same-origin"},
            {"origin": "https://behind.a.proxy", "fetch_site": "same-origin"},
        ):
            self.assertEqual(200, self.code(HERE, replace(POST, **said)), said)
        for said in (
            {},
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:81"},
            {"origin": "https://127.0.0.1:8080"},
            {"fetch_site": "cross-site"},
            {"fetch_site": "same-site"},
            {"fetch_site": "none"},
            {"origin": ours, "fetch_site": "cross-site"},
        ):
            for method in (b"POST", b"PUT", b"DELETE"):
                self.assertEqual(403, self.code(HERE, replace(POST, method=method, **said)), said)

    def test_nor_does_a_token_alone_do(self) -> None:
        self.assertEqual(403, self.code(OPEN, replace(POST, authorization=f"Bearer {TOKEN}")))
        self.assertEqual(200, self.code(OPEN, replace(POST, cookie=OPEN.ticket, fetch_site="same-origin")))

    def test_another_sites_page_embeds_nothing_of_ours_yet_a_link_may_be_followed(self) -> None:
        embedded = replace(
            GET, uri=b"/udp/239.1.1.1:5004", fetch_site="cross-site", fetch_mode="no-cors", fetch_dest="image"
        )
        self.assertEqual("other_site", self.why(HERE, embedded))
        self.assertEqual("other_site", self.why(HERE, replace(embedded, fetch_site="same-site")))
        framed = replace(embedded, fetch_mode="navigate", fetch_dest="iframe")
        self.assertEqual("other_site", self.why(HERE, framed))
        self.assertEqual(200, self.code(HERE, replace(framed, fetch_dest="document")))
        for site in ("", "none", "same-origin"):
            self.assertEqual(200, self.code(HERE, replace(embedded, fetch_site=site)))


class Headers(Case):
    def test_a_page_of_ours_runs_no_inline_script_and_stands_in_no_frame(self) -> None:
        policy = HEADERS[b"content-security-policy"]
        self.assertNotIn(b"unsafe", policy)
        for rule in (
            b"default-src 'none'",
            b"script-src 'self'",
            b"frame-ancestors 'none'",
            b"base-uri 'none'",
        ):
            self.assertIn(rule, policy)
        self.assertFalse([name for name in HEADERS if name.startswith(b"access-control")])
