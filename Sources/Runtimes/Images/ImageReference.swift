/// The name of an image in its canonical form: `python:3.11` is `docker.io/library/python:3.11`.
///
/// The grammar is that of Docker's references (distribution/reference): the first part is a registry if it has a dot, a
/// colon or an upper case letter, or is `localhost`. A name can neither begin with a dash nor contain `..` or white
/// space, so a reference is safe as an argument and in a URL.
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// Host and perhaps port.
    package let registry: String
    package let repository: String
    /// Nil only if there is a digest.
    package let tag: String?
    /// Algorithm and hexadecimal digits: `sha256:…`.
    package let digest: String?

    static let defaultRegistry = "docker.io"
    /// The longest registry and repository together, and the longest tag, from Docker's grammar.
    private static let (nameLimit, tagLimit) = (255, 128)

    /// - Throws: `ImageError.invalidReference`.
    package init(_ text: String) throws(ImageError) {
        func failure(_ reason: String) -> ImageError { .invalidReference(text, reason: reason) }

        guard !text.isEmpty else { throw failure("it is empty") }
        guard text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw failure("it has white space, or characters that are not ASCII")
        }
        var name = Substring(text)
        digest = name.lastIndex(of: "@").map { at in
            defer { name = name[..<at] }
            return String(name[name.index(after: at)...])
        }
        if let digest, !Self.isDigest(digest) { throw failure("a digest must be sha256: and 64 hexadecimal digits") }

        // A colon before a slash belongs to the registry's port.
        let written: String? = name.lastIndex(of: ":").flatMap { colon in
            guard !name[colon...].contains("/") else { return nil }
            defer { name = name[..<colon] }
            return String(name[name.index(after: colon)...])
        }
        if let written, !Self.isTag(written) { throw failure("a tag must be up to 128 letters, digits, _, . and -") }
        tag = written ?? (digest == nil ? "latest" : nil)

        let (domain, path) = Self.split(name)
        guard Self.isRegistry(domain) else {
            throw failure("\(domain.isEmpty ? "nothing" : "its start") is not a registry")
        }
        let hub = domain == Self.defaultRegistry || domain == "index.docker.io"
        registry = hub ? Self.defaultRegistry : String(domain)
        repository = hub && !path.contains("/") ? "library/\(path)" : String(path)
        guard Self.isRepository(path) else {
            throw failure("a repository must be lower-case letters and digits, separated by one of . _ - and /")
        }
        guard registry.utf8.count + 1 + repository.utf8.count <= Self.nameLimit else {
            throw failure("its name is longer than \(Self.nameLimit) characters")
        }
        // Such a name would be taken for a digest.
        guard written != nil || digest != nil || name.utf8.count != 64 || !name.utf8.allSatisfy(Self.isHexadecimal)
        else {
            throw failure("64 hexadecimal digits are a digest, not a name")
        }
    }

    /// Registry and repository.
    package var name: String { "\(registry)/\(repository)" }

    package var description: String { name + (tag.map { ":" + $0 } ?? "") + (digest.map { "@" + $0 } ?? "") }

    /// The shortest text for this image: `python:3.11`.
    package var familiar: String {
        guard registry == Self.defaultRegistry else { return description }
        let suffix = description.dropFirst(name.count)
        let official = repository.hasPrefix("library/") ? String(repository.dropFirst(8)) : repository
        // Shortening `docker.io/localhost/x` and the like would change the registry.
        for short in [official, repository] {
            if let parsed = try? ImageReference(short + suffix), parsed == self { return short + suffix }
        }
        return description
    }
}

// MARK: - Grammar

extension ImageReference {
    private static func split(_ name: Substring) -> (domain: Substring, path: Substring) {
        guard let registry = namedRegistry(name) else { return (Substring(defaultRegistry), name) }
        return (registry, name[registry.endIndex...].dropFirst())
    }

    /// The part before the first slash if it is a registry; nil for an unqualified name.
    static func namedRegistry(_ text: Substring) -> Substring? {
        guard let slash = text.firstIndex(of: "/") else { return nil }
        let first = text[..<slash]
        let isRegistry = first.contains { $0 == "." || $0 == ":" || $0.isUppercase } || first == "localhost"
        return isRegistry ? first : nil
    }

    /// Whether a text is a valid registry: a host, perhaps with a port.
    package static func isRegistry(_ text: some StringProtocol) -> Bool {
        let text = Substring(text)
        var host = text
        if let colon = text.lastIndex(of: ":"), text.last != "]" {
            guard let port = UInt16(text[text.index(after: colon)...]), port > 0, text[text.index(after: colon)] != "+"
            else { return false }
            host = text[..<colon]
        }
        if host.first == "[" {
            return host.last == "]" && host.utf8.count > 4
                && host.dropFirst().dropLast().utf8.allSatisfy { isHexadecimal($0 | 0x20) || $0 == UInt8(ascii: ":") }
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isRepository(_ path: Substring) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy(isComponent)
    }

    /// Lower case letters and digits, separated by one dot, one or two underscores, or any number of dashes.
    private static func isComponent(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, isLowerOrDigit(first), isLowerOrDigit(last) else {
            return false
        }
        return text.utf8.split(whereSeparator: isLowerOrDigit).allSatisfy { separator in
            [".", "_", "__"].contains(Substring(separator)) || separator.allSatisfy { $0 == UInt8(ascii: "-") }
        }
    }

    private static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= tagLimit else { return false }
        return (isLetterOrDigit(first) || first == UInt8(ascii: "_"))
            && text.utf8.allSatisfy { isLetterOrDigit($0) || "_.-".utf8.contains($0) }
    }

    static func isDigest(_ text: String) -> Bool {
        let lengths = ["sha256": 64, "sha384": 96, "sha512": 128]
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let length = lengths[String(parts[0])] else { return false }
        return parts[1].utf8.count == length && parts[1].utf8.allSatisfy(isHexadecimal)
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        isLowerOrDigit(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
}
