/// What a name means on this machine.
extension ImageReference {
    /// What the names of images begin with that this machine alone has. Whoever owns that name at a public registry must
    /// not come to run here, so no registry is asked for them.
    static let localNames = "sallyport/"

    var isLocal: Bool { registry == Self.defaultRegistry && repository.hasPrefix(Self.localNames) }

    /// The image that a caller means. `python` is an image of whichever registry the operator says, not of one that this
    /// program chooses.
    ///
    /// - Parameter unqualified: the registry of names without one; nil: they are refused.
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
