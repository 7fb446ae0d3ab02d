import JSON

/// Why a request was refused. Nothing was done.
struct RequestBodyError: Error, Hashable, Sendable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Decodes JSON from a client.
enum RequestBody {
    static func decode<Value: Decodable>(
        _ type: Value.Type, from body: some Sequence<UInt8>
    ) throws(RequestBodyError) -> Value {
        let value: JSONValue
        do { value = try JSONValue(Array(body)) } catch {
            throw RequestBodyError("the body is not valid JSON: \(error)")
        }
        return try decode(type, from: value)
    }

    static func decode<Value: Decodable>(
        _ type: Value.Type, from value: JSONValue
    ) throws(RequestBodyError) -> Value {
        do throws(JSONMismatch) { return try value.decode(type, unknown: .refusedWhereMisspelt) } catch {
            let place = error.path.isEmpty ? "the body" : error.path.joined(separator: ".")
            throw RequestBodyError("\(place) \(error.reason)")
        }
    }
}
