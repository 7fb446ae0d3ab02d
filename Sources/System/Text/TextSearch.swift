extension StringProtocol {
    /// Whether another text stands somewhere in this one, byte for byte. The library's own search brings its regular expressions
    /// with it, which are 1.3 MB of a static program.
    package func holds(_ text: String) -> Bool {
        var rest = utf8[...]
        while !rest.starts(with: text.utf8) { guard rest.popFirst() != nil else { return false } }
        return true
    }
}
