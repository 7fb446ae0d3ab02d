import FoundationEssentials

/// Why a request was refused; nothing has happened.
struct InvalidRequest: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Reads JSON that a client sent.
enum RequestBody {
    static func decode<Value: Decodable>(
        _ type: Value.Type, from body: some Sequence<UInt8>
    ) throws(InvalidRequest) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty {
            throw InvalidRequest("\(name(context.codingPath)): \(context.debugDescription)")
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            throw InvalidRequest("\(name(context.codingPath)) has the wrong type")
        } catch DecodingError.keyNotFound(let key, let context) {
            throw InvalidRequest("\(name(context.codingPath + [key])) is required")
        } catch {
            throw InvalidRequest("the body is not valid JSON")
        }
    }

    private static func name(_ path: [any CodingKey]) -> String {
        path.isEmpty ? "the body" : path.map(\.stringValue).joined(separator: ".")
    }
}
