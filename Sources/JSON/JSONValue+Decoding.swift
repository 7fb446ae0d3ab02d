/// What becomes of names in an object that its type does not know.
public enum UnknownNames: Sendable {
    /// They are passed over: whoever wrote the text may know more.
    case tolerated
    /// Those that are another name misspelt (`SimilarName`) are refused; all others are passed over.
    case refusedWhereMisspelt
    /// Each is refused, with the nearest name that exists.
    case refused
}

/// Why a value is not of the type that was asked for.
public struct JSONMismatch: Error, Hashable, Sendable, CustomStringConvertible {
    /// Names and numbers from the outermost object or list to where the mistake is; empty where that is the whole.
    public let path: [String]
    /// `is required`, `has the wrong type`.
    public let reason: String

    public var description: String { (path.isEmpty ? "the whole" : path.joined(separator: ".")) + " " + reason }
}

extension JSONValue {
    /// The value as one of a type. Whole numbers that do not fit the type are refused, never cut.
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
