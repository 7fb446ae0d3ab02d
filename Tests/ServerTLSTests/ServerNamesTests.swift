import Testing

@testable import ServerTLS

@Suite struct ServerNamesTests {
    private let names = ServerNames([
        ["fallback.example"], ["a.example", "*.a.example"], ["*.B.Example."], ["a.example", "x.a.example"],
    ])

    @Test(arguments: [
        ("fallback.example", 0), ("a.example", 1), ("A.EXAMPLE", 1), ("a.example.", 1), ("y.a.example", 1),
        ("x.a.example", 3), ("any.b.example", 2),
    ])
    func `the certificate for a name is found`(name: String, index: Int) { #expect(names.index(for: name) == index) }

    @Test(arguments: ["", ".", "example", "b.example", "z.y.a.example", ".a.example", "xa.example", "*.c.example"])
    func `a wildcard stands for one label and nothing else`(name: String) { #expect(names.index(for: name) == nil) }

    @Test(arguments: ["*", "*.example", "w*.a.example", "*.*.example", "a.*.example"])
    func `other forms of wildcards are for no name`(pattern: String) {
        let names = ServerNames([[pattern]])
        for name in ["example", "b.example", "www.a.example", "b.c.example", "a.b.example"] {
            #expect(names.index(for: name) == nil)
        }
    }
}
