import JSON

/// The members of a JSON object. An unknown one is an error: a misspelt `ports` must not open every port.
struct PolicyFields {
    private let object: JSONObject

    /// - Parameters:
    ///   - beside: members that may be there, too, and are nobody's to write.
    ///   - place: where the object is in the document, for error messages.
    /// - Throws: `PolicyError.wrongShape` if it is not an object, or has a member that is not in `known`.
    init(
        _ json: JSONValue, known: [String], beside: [String] = [], expected: String,
        at place: @autoclosure () -> String = ""
    ) throws(PolicyError) {
        guard case .object(let object) = json else { throw .shape(expected, at: place()) }
        for member in object.members where !known.contains(member.name) && !beside.contains(member.name) {
            let place = place()
            let prefix = place.isEmpty ? "" : "\(place): "
            throw .wrongShape(
                "\(prefix)unknown field \"\(member.name.prefix(64))\": use \(known.joined(separator: ", "))")
        }
        self.object = object
    }

    /// Nil where it is missing or `null`.
    subscript(name: String) -> JSONValue? { object[name].flatMap { $0.isNull ? nil : $0 } }

    /// - Throws: `PolicyError.wrongShape` for anything but a string.
    func string(
        _ name: String, expected: String, at place: @autoclosure () -> String = ""
    ) throws(PolicyError) -> String? {
        guard let value = self[name] else { return nil }
        guard case .string(let text) = value else { throw .shape(expected, at: Self.place(place(), name)) }
        return text
    }

    /// - Throws: `PolicyError.wrongShape` for anything but an array.
    func array(
        _ name: String, expected: String, at place: @autoclosure () -> String = ""
    ) throws(PolicyError) -> [JSONValue]? {
        guard let value = self[name] else { return nil }
        guard case .array(let entries) = value else { throw .shape(expected, at: Self.place(place(), name)) }
        return entries
    }

    private static func place(_ outer: String, _ name: String) -> String { outer.isEmpty ? name : "\(outer).\(name)" }
}

extension PolicyError {
    static func shape(_ expected: String, at place: String) -> PolicyError {
        .wrongShape("expected \(expected)" + (place.isEmpty ? "" : "; the mistake is at \(place)"))
    }
}

extension JSONValue {
    /// Nesting of arrays and objects; a policy has four levels.
    private static let maxPolicyLevels = 16

    /// Parses the text of a policy or of a part of one.
    /// - Throws: `PolicyError.notJSON`.
    init(policy text: some Collection<UInt8>) throws(PolicyError) {
        do { try self.init(text, levels: Self.maxPolicyLevels) } catch { throw .notJSON("\(error)") }
    }
}
