import JSON
import Spelling

/// A problem with one field of a request, in the form of the contract's 422 answers (docs/wire.md#errors).
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

/// Collects the problems of a request, so that the client is told of them at once.
final class Problems {
    /// More are counted, but not told: a list of millions of wrong items would make an answer of hundreds of megabytes.
    static let most = 100

    private var all: [ValidationProblem] = []
    private var omitted = 0

    func add(_ type: String = "value_error", at location: [String], _ message: String) {
        guard all.count < Self.most else { return omitted += 1 }
        all.append(ValidationProblem(type: type, location: location, message: message))
    }

    /// - Throws: `APIError` 422 with what was found so far.
    func check() throws(APIError) {
        guard !all.isEmpty else { return }
        guard omitted > 0 else { throw .invalid(all) }
        let rest = ValidationProblem(
            type: "too_many_errors", location: ["body"], message: "\(omitted) more problems are not listed")
        throw .invalid(all + [rest])
    }
}

/// Reads the fields of a JSON object. A field that is `null` counts as absent; one of a wrong type is a problem.
struct Fields {
    let location: [String]
    let problems: Problems
    private let values: JSONObject

    /// - Parameter known: the known fields. Others are ignored, as the contract requires, unless one looks like a
    ///   misspelt known field: `secureaccess` must not leave a sandbox open.
    init(_ value: JSONValue, at location: [String], known: [String], problems: Problems) {
        self.location = location
        self.problems = problems
        guard case .object(let values) = value else {
            problems.add("model_attributes_type", at: location, "Input should be a valid object")
            self.values = [:]
            return
        }
        self.values = values
        for member in values.members {
            guard let meant = SimilarName.misspelt(member.name, of: known) else { continue }
            let place = location + [String(member.name.prefix(64))]
            problems.add("extra_forbidden", at: place, "Unknown field; did you mean \(meant)?")
        }
    }

    /// Whether the field was sent, `null` included.
    func mentions(_ name: String) -> Bool { values[name] != nil }

    func value(_ name: String) -> JSONValue? { values[name].flatMap { $0.isNull ? nil : $0 } }

    func problem(_ name: String, _ message: String, type: String = "value_error") {
        problems.add(type, at: location + [name], message)
    }

    func missing(_ name: String) { problem(name, "Field required", type: "missing") }

    /// A field that must be there, read by `read`; nil where it is missing or wrong, which is a problem.
    func required<Value>(_ name: String, _ read: (Fields, String) -> Value?) -> Value? {
        if value(name) == nil { missing(name) }
        return read(self, name)
    }

    func string(_ name: String) -> String? {
        guard let value = value(name) else { return nil }
        if case .string(let text) = value { return text }
        problem(name, "Input should be a valid string", type: "string_type")
        return nil
    }

    func bool(_ name: String) -> Bool? {
        guard let value = value(name) else { return nil }
        if case .boolean(let flag) = value { return flag }
        problem(name, "Input should be a valid boolean", type: "bool_type")
        return nil
    }

    func integer(_ name: String) -> Int? {
        switch value(name) {
        case nil: return nil
        case .integer(let number): return number
        // 60.0 counts as 60, as in the reference.
        case .number(let number):
            if let number = Int(exactly: number) { return number }
        default: break
        }
        problem(name, "Input should be a valid integer", type: "int_type")
        return nil
    }

    func object(_ name: String, known: [String]) -> Fields? {
        value(name).map { Fields($0, at: location + [name], known: known, problems: problems) }
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

    /// An object of strings; a `null` value becomes nil.
    func texts(_ name: String) -> [ExactName: String?]? {
        guard let value = value(name) else { return nil }
        guard case .object(let entries) = value else {
            problem(name, "Input should be a valid dictionary", type: "dict_type")
            return nil
        }
        var texts: [ExactName: String?] = [:]
        for member in entries.members {
            let key = ExactName(member.name)
            switch member.value {
            case .string(let text): texts[key] = .some(text)
            case .null: texts[key] = .some(nil)
            default:
                let place = location + [name, String(member.name.prefix(64))]
                problems.add("string_type", at: place, "Input should be a valid string")
            }
        }
        return texts
    }
}
