/// What is wrong with one field of a request, in the shape of the contract's 422 answers (CLIENTS.md, section 16).
struct ValidationProblem: Encodable, Hashable, Sendable {
    var type: String
    var loc: [String]
    var msg: String

    init(type: String = "value_error", location: [String], message: String) {
        self.type = type
        loc = location
        msg = message
    }
}

/// Collects every problem of a request, so that a client learns of all of them at once.
final class Problems {
    private(set) var all: [ValidationProblem] = []

    func add(_ type: String = "value_error", at location: [String], _ message: String) {
        all.append(ValidationProblem(type: type, location: location, message: message))
    }

    /// - Throws: `APIError` 422 with everything found so far.
    func check() throws(APIError) {
        if !all.isEmpty { throw .invalid(all) }
    }
}

/// Reads the fields of a JSON object. A field that is `null` counts as absent; one of a wrong type is a problem.
struct Fields {
    let location: [String]
    let problems: Problems
    private let values: [String: JSONValue]

    init(_ value: JSONValue, at location: [String], problems: Problems) {
        self.location = location
        self.problems = problems
        if case .object(let values) = value {
            self.values = values
        } else {
            problems.add("model_attributes_type", at: location, "Input should be a valid object")
            values = [:]
        }
    }

    /// Whether the field was sent, `null` included.
    func mentions(_ name: String) -> Bool { values[name] != nil }

    func value(_ name: String) -> JSONValue? { values[name].flatMap { $0 == .null ? nil : $0 } }

    func problem(_ name: String, _ message: String, type: String = "value_error") {
        problems.add(type, at: location + [name], message)
    }

    func missing(_ name: String) { problem(name, "Field required", type: "missing") }

    func string(_ name: String) -> String? {
        guard let value = value(name) else { return nil }
        if case .string(let text) = value { return text }
        problem(name, "Input should be a valid string", type: "string_type")
        return nil
    }

    func bool(_ name: String) -> Bool? {
        guard let value = value(name) else { return nil }
        if case .bool(let flag) = value { return flag }
        problem(name, "Input should be a valid boolean", type: "bool_type")
        return nil
    }

    func integer(_ name: String) -> Int64? {
        switch value(name) {
        case nil: return nil
        case .integer(let number): return number
        // A double beyond Int64 must not trap.
        case .number(let number) where number == number.rounded() && abs(number) < 9e15: return Int64(number)
        default:
            problem(name, "Input should be a valid integer", type: "int_type")
            return nil
        }
    }

    func object(_ name: String) -> Fields? {
        value(name).map { Fields($0, at: location + [name], problems: problems) }
    }

    func objects(_ name: String) -> [Fields]? {
        guard let value = value(name) else { return nil }
        guard case .array(let items) = value else {
            problem(name, "Input should be a valid list", type: "list_type")
            return nil
        }
        return items.enumerated().map { Fields($1, at: location + [name, String($0)], problems: problems) }
    }

    func strings(_ name: String) -> [String]? {
        guard let value = value(name) else { return nil }
        guard case .array(let items) = value else {
            problem(name, "Input should be a valid list", type: "list_type")
            return nil
        }
        return items.enumerated().compactMap { index, item in
            if case .string(let text) = item { return text }
            problems.add("string_type", at: location + [name, String(index)], "Input should be a valid string")
            return nil
        }
    }

    /// An object of strings; a value of `null` is kept as nil.
    func texts(_ name: String) -> [String: String?]? {
        guard let value = value(name) else { return nil }
        guard case .object(let entries) = value else {
            problem(name, "Input should be a valid dictionary", type: "dict_type")
            return nil
        }
        var texts: [String: String?] = [:]
        for (key, entry) in entries {
            switch entry {
            case .string(let text): texts[key] = .some(text)
            case .null: texts[key] = .some(nil)
            default: problems.add("string_type", at: location + [name, key], "Input should be a valid string")
            }
        }
        return texts
    }
}
