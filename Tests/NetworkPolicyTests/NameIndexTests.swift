import Testing

@testable import NetworkPolicy

@Suite struct NameIndexTests {
    @Test func `names are found again by their numbers, with the zones above them and nothing else`() throws {
        var index = NameIndex()
        let names = try (0..<5000).map { try DomainName("n\($0).z\($0 % 70).example") }
        for (number, name) in names.enumerated() { #expect(index.insert(name) == number) }
        for (number, name) in names.enumerated() { #expect(index.insert(name) == number, "it was known") }
        #expect(index.count == 5000)
        let zone = index.insert(try DomainName("z7.example"))

        #expect(known(index, try DomainName("n7.z7.example")) == [[zone, 0], [7, 1]])
        #expect(known(index, try DomainName("a.b.n7.z7.example")) == [[zone, 0], [7, 0]])
        #expect(known(index, try DomainName("xn7.z8.example")) == [])
        #expect(known(index, try DomainName("z7.example")) == [[zone, 1]])
    }

    @Test func `a label that ends as a name does is not that name`() throws {
        var index = NameIndex()
        _ = index.insert(try DomainName("example.com"))
        #expect(known(index, try DomainName("badexample.com")) == [])
        #expect(known(index, try DomainName("com")) == [])
        #expect(known(index, .root) == [])
    }

    @Test func `a name of a hundred and twenty-seven labels is looked up`() throws {
        var index = NameIndex()
        _ = index.insert(try DomainName("a"))
        let long = try DomainName(Array(repeating: "a", count: 127).joined(separator: "."))
        #expect(known(index, long) == [[0, 0]])
    }

    /// Numbers, each with 1 where it is the name itself.
    private func known(_ index: NameIndex, _ name: DomainName) -> [[Int]] {
        var found: [[Int]] = []
        index.forEachKnown(atOrAbove: name) { found.append([$0, $1 ? 1 : 0]) }
        return found
    }
}
