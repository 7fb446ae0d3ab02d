import JSON

/// The multipart form that execd takes for an upload: where the file goes, and its bytes (docs/wire.md#files).
package struct UploadForm: Sendable {
    private let boundary: String
    /// What stands in front of the file's bytes.
    package let head: [UInt8]
    package let tail: [UInt8]

    /// - Parameters:
    ///   - boundary: letters and digits that the file does not have in it, such as random ones.
    ///   - mode: of the new file, nine bits.
    package init(path: String, mode: UInt16, boundary: String) {
        self.boundary = boundary
        // execd reads the digits of a mode as octal ones.
        let digits = Int(String(mode, radix: 8)) ?? 644
        let metadata = JSONValue.object(["path": .string(path), "mode": .integer(digits)])
        head =
            Array(
                "--\(boundary)\r\nContent-Disposition: form-data; name=\"metadata\"; filename=\"metadata\"\r\nContent-Type: application/json\r\n\r\n"
                    .utf8) + metadata.encoded
            + Array(
                "\r\n--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                    .utf8)
        tail = Array("\r\n--\(boundary)--\r\n".utf8)
    }

    package var contentType: String { "multipart/form-data; boundary=\(boundary)" }
}

/// One side of a copy: a path of this machine, or one in a sandbox.
package enum CopyPlace: Hashable, Sendable {
    case here(String)
    case sandbox(String, path: String)

    /// `ID:/path` is in a sandbox; a path of this machine with a colon is written with a `/` in front of it.
    package init(_ text: String) throws(ClientFailure) {
        guard let colon = text.firstIndex(of: ":"), !text[..<colon].contains("/") else {
            self = .here(text)
            return
        }
        let path = text[text.index(after: colon)...]
        guard colon > text.startIndex, path.hasPrefix("/") else {
            throw ClientFailure(.usage, "\"\(text.prefix(200))\": write ID:/absolute/path for a file in a sandbox")
        }
        self = .sandbox(String(text[..<colon]), path: String(path))
    }
}
