import JSON

extension SettingsText {
    /// The same as an object of JSON: what stands before the first table, and the tables.
    var json: JSONValue {
        var whole = Self.object(tables[""] ?? [:])
        for (name, values) in tables where !name.isEmpty { whole.set(name, .object(Self.object(values))) }
        for (name, all) in repeated { whole.set(name, .array(all.map { .object(Self.object($0)) })) }
        return .object(whole)
    }

    private static func object(_ values: [String: Value]) -> JSONObject {
        var object = JSONObject()
        for (key, value) in values { object.set(key, value.json) }
        return object
    }
}

extension SettingsText.Value {
    fileprivate var json: JSONValue {
        switch self {
        case .text(let text): .string(text)
        case .number(let number): .integer(Int(number))
        case .boolean(let value): .boolean(value)
        case .list(let values): .array(values.map(\.json))
        }
    }
}
