/// The headers of a form part (RFC 7578, section 4.2).
struct MultipartHeaders: Hashable, Sendable {
    /// The form field's name; nil if there is none.
    var name: String?
    /// nil if the part is not a file.
    var filename: String?

    init(name: String? = nil, filename: String? = nil) {
        self.name = name
        self.filename = filename
    }

    init(_ bytes: ArraySlice<UInt8>) throws(MultipartParser.MultipartError) {
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
                throw .header(String(line.prefix(80)))
            }
            guard line[..<colon].lowercased() == "content-disposition" else { continue }
            let parameters = HeaderParameters(line[line.index(after: colon)...])
            name = parameters["name"]
            filename = parameters["filename"]
        }
    }

    /// The boundary in a request's `Content-Type`.
    /// - Throws: `FileError.invalidFile` if it is not a multipart form.
    static func boundary(contentType: String?) throws(FileError) -> String {
        let parameters = HeaderParameters(Substring(contentType ?? ""))
        guard parameters.value == "multipart/form-data" else {
            throw .invalidFile("an upload needs the content type multipart/form-data")
        }
        // RFC 2046 allows 70 characters.
        guard let boundary = parameters["boundary"], (1...200).contains(boundary.utf8.count) else {
            throw .invalidFile("the content type names no boundary")
        }
        return boundary
    }
}

/// A header's value and its parameters: `value; name=token; name="quoted"`.
struct HeaderParameters: Hashable, Sendable {
    /// In lower case.
    private(set) var value = ""
    private var parameters: [String: String] = [:]

    subscript(name: String) -> String? { parameters[name] }

    init(_ text: Substring) {
        var rest = text
        value = Self.trimmed(rest.prefix { $0 != ";" }).lowercased()
        rest = rest.drop { $0 != ";" }
        while rest.popFirst() != nil {
            let name = Self.trimmed(rest.prefix { $0 != "=" && $0 != ";" }).lowercased()
            rest = rest.drop { $0 != "=" && $0 != ";" }
            guard rest.first == "=" else { continue }
            rest.removeFirst()
            rest = rest.drop { $0 == " " || $0 == "\t" }
            let value = rest.first == "\"" ? Self.quoted(&rest) : Self.trimmed(rest.prefix { $0 != ";" })
            rest = rest.drop { $0 != ";" }
            if parameters[name] == nil { parameters[name] = value }
        }
    }

    private static func quoted(_ rest: inout Substring) -> String {
        rest.removeFirst()
        var value = ""
        while let character = rest.popFirst(), character != "\"" {
            value.append(character == "\\" ? rest.popFirst() ?? "\\" : character)
        }
        return value
    }

    private static func trimmed(_ text: Substring) -> String {
        let start = text.drop { $0 == " " || $0 == "\t" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
