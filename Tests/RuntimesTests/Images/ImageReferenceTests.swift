import Testing

@testable import Runtimes

private let hash = String(repeating: "0123456789abcdef", count: 4)

@Suite struct ImageReferenceTests {
    @Test(arguments: [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11", "docker.io/library/python:3.11"),
        ("org/app", "docker.io/org/app:latest"),
        ("docker.io/python", "docker.io/library/python:latest"),
        ("index.docker.io/library/python", "docker.io/library/python:latest"),
        ("ghcr.io/org/x@sha256:\(hash)", "ghcr.io/org/x@sha256:\(hash)"),
        ("ghcr.io/org/x:v1@sha256:\(hash)", "ghcr.io/org/x:v1@sha256:\(hash)"),
        ("localhost:5000/a/b:tag", "localhost:5000/a/b:tag"),
        ("localhost/a", "localhost/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("10.0.0.1/a/b/c", "10.0.0.1/a/b/c:latest"),
        ("Host/a", "Host/a:latest"),
        ("a-b.example/x__y/z---w.v_u:_T-1.2", "a-b.example/x__y/z---w.v_u:_T-1.2"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
    ])
    func `a reference has one canonical form`(text: String, canonical: String) throws {
        #expect(try ImageReference(text).description == canonical)
    }

    @Test(arguments: [
        "", " ", " python", "python ", "py thon", "a\nb", "a\0", "pythön", "Python", "docker.io/Python", "org/App",
        "-python", "--authfile=/x", "-/a", "-x.example/a", "x-.example/a", "example.org/-a", "a/b-", "..", "../a",
        "a/../b", "a..b", "example.org/..", "a//b", "/a", "a/", "a___b", "a.-b", "python:", "python:-x", "python:.x",
        "python:a/b:", "python:a b", "python:\(String(repeating: "t", count: 129))", "example..org/a", ".example/a",
        "example.org:/a", "example.org:0/a", "example.org:65536/a", "example.org:+80/a", "example.org:http/a",
        "example.org:80:80/a", "[::1/a", "[]/a", "user@example.org/a", "https://example.org/a", "a@", "a@sha256:",
        "a@sha256:123", "a@sha256:\(hash.uppercased())", "a@md5:\(hash)", "a@sha256:\(hash):x", "a@b@sha256:\(hash)",
        "a@sha256:\(hash)/b", hash, "oci:/etc", "dir:/etc", String(repeating: "a", count: 250),
        "example.org/" + String(repeating: "a/", count: 200) + "b",
    ])
    func `what is no reference is refused`(text: String) {
        #expect(throws: ImageError.self) { try ImageReference(text) }
    }

    /// Documents what looks like a transport of skopeo's and is a name with a tag: it is only ever used after docker://.
    @Test func `a name like a transport is a name`() throws {
        #expect(try ImageReference("oci:x").description == "docker.io/library/oci:x")
    }

    @Test(arguments: [
        ("docker.io/library/python:3.11", "python:3.11"), ("docker.io/org/app", "org/app:latest"),
        ("ghcr.io/org/x", "ghcr.io/org/x:latest"), ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
        ("library/\(hash):x", "\(hash):x"),
    ])
    func `the familiar form is the shortest that means the same`(text: String, familiar: String) throws {
        #expect(try ImageReference(text).familiar == familiar)
    }

    @Test(arguments: ["python", "python:3.11", "org/app", "a/b/c@sha256:\(hash)", "library/python"])
    func `a name without a registry is refused, or of the one that is configured`(text: String) throws {
        let canonical = try ImageReference(text).description
        #expect(throws: ImageError.unqualified(text, canonical: canonical)) {
            try ImageReference(text, unqualified: nil)
        }
        #expect("\(ImageError.unqualified(text, canonical: canonical))".contains(canonical))
        #expect(try ImageReference(text, unqualified: "docker.io").description == canonical)
        let own = try ImageReference(text, unqualified: "registry.example:5000")
        #expect(own.description.hasPrefix("registry.example:5000/\(text)"))
    }

    @Test(arguments: [
        "docker.io/python", "index.docker.io/a", "ghcr.io/org/x", "localhost/a", "127.0.0.1:5000/a", "[::1]:5000/a",
        "Host/a",
    ])
    func `a name with a registry is what it says, whatever is configured`(text: String) throws {
        for configured in [nil, "registry.example"] {
            #expect(try ImageReference(text, unqualified: configured) == ImageReference(text))
        }
        #expect(try !ImageReference(text).isLocal)
    }

    @Test(arguments: [
        "sallyport/base", "sallyport/base:latest", "sallyport/a/b", "docker.io/sallyport/base",
        "index.docker.io/sallyport/x",
        "sallyport/base@sha256:\(hash)",
    ])
    func `this machine's own names are no registry's, whatever is configured`(text: String) throws {
        for configured in [nil, "docker.io", "registry.example"] {
            let reference = try ImageReference(text, unqualified: configured)
            #expect(try reference.isLocal && reference == ImageReference(text))
        }
        for other in ["sallyport", "sallyport-x/base", "ghcr.io/sallyport/base", "a/sallyport/base"] {
            #expect(try !ImageReference(other).isLocal, "\(other)")
        }
    }

    @Test(arguments: ["registry.example", "localhost:5000", "[::1]:5000", "127.0.0.1", "a"])
    func `a registry is a host and perhaps a port`(text: String) {
        #expect(ImageReference.isRegistry(text))
    }

    @Test(arguments: ["", "https://a", "a/b", "-a", "a:", "a:0", "a b", "a@b", "a..b", "a\n"])
    func `what is no host is no registry`(text: String) {
        #expect(!ImageReference.isRegistry(text))
    }

    @Test func `canonical and familiar forms parse to the same reference, whatever was written`() {
        var random = SeededGenerator(state: 20)
        let pieces = [
            "a", "b1", "library", "localhost", "docker.io", "index.docker.io", "Host", "example.org", ":5000", "/", "/",
            ":", "@", "@sha256:\(hash)", ".", "-", "_", "__", "..", hash, "v1", "[::1]", "A", " ", "+", "80",
        ]
        var parsed = 0
        for _ in 0..<40_000 {
            let text = (0..<Int.random(in: 1...7, using: &random)).map { _ in pieces.randomElement(using: &random)! }
                .joined()
            guard let reference = try? ImageReference(text) else { continue }
            parsed += 1
            #expect((try? ImageReference(reference.description)) == reference, "\(text)")
            #expect((try? ImageReference(reference.familiar)) == reference, "\(text)")
            #expect(!reference.name.hasPrefix("-") && !reference.name.contains(".."))
        }
        #expect(parsed > 1000, "the property must not hold for lack of references")
    }
}

/// SplitMix64, so that a failure comes again.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
