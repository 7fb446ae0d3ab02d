import Testing

@testable import ControlPlane

@Suite struct RedactionTests {
    @Test(arguments: [
        (
            "a sandbox 0a1b2c3d-1111-2222-3333-444455556666 ended",
            "a sandbox 0a1b2c3d-1111-2222-3333-444455556666 ended"
        ),
        ("/var/lib/sallyport/sandboxes/0a1b2c3d: no space", "/var/lib/sallyport/sandboxes/0a1b2c3d: no space"),
        ("2026-01-01T00:00:00.123456Z info 10.200.0.3:44772", "2026-01-01T00:00:00.123456Z info 10.200.0.3:44772"),
        ("x \(String(repeating: "ab12", count: 16)) y", "x *** y"),
        ("x QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY= y", "x *** y"),
        ("x eyJhbGciOi.J1c2VyIn0.c2lnbmF0dXJl9 y", "x *** y"), ("x Ab1/Cd2/Ef3/Gh4/Ij5/Kl6/Mn7 y", "x *** y"),
        ("token=a b", "token=*** b"), ("ACCESS_TOKEN = 'a b' c", "ACCESS_TOKEN = *** c"),
        (#"{"my_password":"a\"b","c":1}"#, #"{"my_password":***,"c":1}"#),
        (#"{"token":5,"c":1}"#, #"{"token":***,"c":1}"#),
        ("redis://u:p/x@h:1/0 x", "redis://***@h:1/0 x"), ("GET https://h/p?q=1&r=2 x", "GET https://h/p?*** x"),
        ("Authorization: Basic dTpw x", "Authorization: ***"), ("-H 'Cookie: a=b; c=d' x", "-H 'Cookie: ***' x"),
        ("the token is wrong", "the token is wrong"), ("", ""), ("password=", "password="), ("token:", "token:"),
        ("secret", "secret"), ("://", "://"), ("a://@", "a://@"), ("authorization", "authorization"),
    ]) func `what looks like a secret is left out, and what is asked about stays`(_ text: String, _ shown: String) {
        #expect(Redaction().text(text) == shown)
    }

    @Test func `secrets that are known are left out in every form, and nothing is left of two that overlap`() {
        let redaction = Redaction(secrets: ["abcdef", "defghi", "a \"b\" ü", "abc"])
        #expect(redaction.text("xabcdefghix abcdefabcdef") == "x***x ******")
        #expect(redaction.text(#"1 a "b" ü 2 "a \"b\" ü" 3 a%20%22b%22%20%C3%BC"#) == #"1 *** 2 "***" 3 ***"#)
        #expect(redaction.text("abcdef\u{301} abcdef\r\nabcde abc") == "***\u{301} ***\r\nabcde abc")
    }

    @Test func `a private key is left out whole, and lines stay lines`() {
        let text = "\na\n-----BEGIN PRIVATE KEY-----\nMII\nabc\n-----END PRIVATE KEY-----\nb\n"
        #expect(
            Redaction().text(text)
                == "\na\n-----BEGIN PRIVATE KEY-----\n***\n***\n-----END PRIVATE KEY-----\nb\n")
    }

    @Test func `a line of any length costs little`() {
        for part in ["token", "://", "authorization", "x", "\"", "token=\\"] {
            let text = String(repeating: part, count: 40_000)
            let shown = Redaction().text(text)
            #expect(shown.utf8.count < RedactedLine.longest + 100, "\(part)")
        }
    }
}
