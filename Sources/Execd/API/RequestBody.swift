import JSON

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
        let value: JSONValue
        do { value = try JSONValue(Array(body)) } catch { throw InvalidRequest("the body is not valid JSON: \(error)") }
        do throws(JSONMismatch) { return try value.decode(type, unknown: .refusedWhereMisspelt) } catch {
            let place = error.path.isEmpty ? "the body" : error.path.joined(separator: ".")
            throw InvalidRequest("\(place) \(error.reason)")
        }
    }
}
