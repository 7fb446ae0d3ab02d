/// How names in an object are treated that the decoded type does not have.
public enum UnknownNames: Sendable {
    /// Ignored: the writer may be a newer version.
    case tolerated
    /// Refused if it looks like a misspelt known name (`SimilarName`), else ignored.
    case refusedWhereMisspelt
    /// Refused, with the nearest known name in the message.
    case refused
}

/// Why a value could not be decoded.
public struct JSONMismatch: Error, Hashable, Sendable, CustomStringConvertible {
    /// Names and indices from the root to the mistake; empty for the root itself.
    public let path: [String]
    /// `is required`, `has the wrong type`.
    public let reason: String

    public var description: String { (path.isEmpty ? "the whole" : path.joined(separator: ".")) + " " + reason }
}

extension JSONValue {
    /// Decodes the value. Integers that do not fit the type are refused, never truncated.
    public func decode<Value: Decodable>(
        _ type: Value.Type = Value.self, unknown: UnknownNames = .tolerated
    ) throws(JSONMismatch) -> Value {
        do {
            return try TreeDecoder(self, at: [], unknown: unknown).decode(type)
        } catch let error as DecodingError {
            throw JSONMismatch(error)
        } catch {
            throw JSONMismatch(path: [], reason: "cannot be read: \(error)")
        }
    }
}

extension JSONMismatch {
    fileprivate init(_ error: DecodingError) {
        let (path, reason): ([any CodingKey], String) =
            switch error {
            case .typeMismatch(_, let context), .valueNotFound(_, let context):
                (context.codingPath, "has the wrong type")
            case .keyNotFound(let key, let context): (context.codingPath + [key], "is required")
            case .dataCorrupted(let context): (context.codingPath, "is wrong: " + context.debugDescription)
            @unknown default: ([], "cannot be read")
            }
        self.init(path: path.map { $0.intValue.map(String.init) ?? $0.stringValue }, reason: reason)
    }
}
