import Testing

@testable import ControlPlane

@Suite struct MetadataLabelTests {
    @Test(arguments: ["a", "team", "example.com/team", "a.b-c_d", "A1", String(repeating: "x", count: 63)])
    func `good keys`(_ key: String) { #expect(MetadataLabel.problem(key: key, value: "v") == nil) }

    @Test(arguments: [
        "", "/", "a/", "/a", "a/b/c", "-a", "a-", ".a", "a b", "ä", "UPPER.com/x", "a..b/x", "-a.com/x",
        "opensandbox.io/x", String(repeating: "x", count: 64), String(repeating: "a.", count: 130) + "a/x",
    ]) func `bad keys`(_ key: String) { #expect(MetadataLabel.problem(key: key, value: "v") != nil) }

    @Test(arguments: ["-", "a b", "x/y", "é", String(repeating: "x", count: 64)])
    func `bad values`(_ value: String) { #expect(MetadataLabel.problem(key: "k", value: value) != nil) }

    @Test func `an empty value and a removal are fine`() {
        #expect(MetadataLabel.problem(key: "k", value: "") == nil && MetadataLabel.problem(key: "k", value: nil) == nil)
    }
}
