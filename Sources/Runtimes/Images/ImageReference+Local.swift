/// How names are resolved on this machine.
extension ImageReference {
    /// The prefix of images that exist only on this machine. No registry is asked for these, so that whoever owns the
    /// name at a public registry cannot run code here.
    static let localNames = "sallyport/"

    var isLocal: Bool { registry == Self.defaultRegistry && repository.hasPrefix(Self.localNames) }

    /// Resolves a name. For `python` the operator chooses the registry, not this program.
    ///
    /// - Parameter unqualified: the registry of names without one; nil to refuse them.
    /// - Throws: `ImageError.invalidReference`, `.unqualified`.
    init(_ text: String, unqualified: String?) throws(ImageError) {
        let written = try ImageReference(text)
        if written.isLocal || Self.namedRegistry(Substring(text)) != nil {
            self = written
        } else if let unqualified {
            self = try ImageReference(unqualified + "/" + text)
        } else {
            throw .unqualified(text, canonical: written.description)
        }
    }
}
