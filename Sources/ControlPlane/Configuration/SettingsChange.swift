import JSON

/// What another configuration changes in a program that runs (docs/server.md#reload): the keys that are marked as live take
/// effect, all others stay as they are until the program is started again, and are named.
struct SettingsChange: Sendable {
    /// Keys with another value than before, which take effect.
    private(set) var taken: [String] = []
    /// Keys with another value than the one in force, which do not.
    private(set) var left: [String] = []
    /// The configuration in force afterwards.
    private(set) var tree: JSONValue

    /// - Parameters:
    ///   - old: in force until now.
    ///   - new: of the file.
    init(from old: JSONValue, to new: JSONValue) {
        tree = old
        for path in Self.changed(from: old, to: new) {
            guard Settings.key(at: path)?.isLive == true else {
                left.append(path.joined(separator: "."))
                continue
            }
            tree = tree.setting(path[...], to: new.value(at: path[...]))
            taken.append(path.joined(separator: "."))
        }
    }

    /// The paths of all keys that differ. A list of tables is one key.
    private static func changed(from old: JSONValue, to new: JSONValue, at path: [String] = []) -> [[String]] {
        guard case .object(let before) = old, case .object(let after) = new else { return old == new ? [] : [path] }
        let names = before.members.map(\.name) + after.members.map(\.name).filter { before[$0] == nil }
        return names.flatMap { name -> [[String]] in
            let path = path + [name]
            switch (before[name], after[name]) {
            case (let old?, let new?): return changed(from: old, to: new, at: path)
            case (let value?, nil), (nil, let value?):
                // A table that has come or gone is as many keys as it has.
                if case .object = value {
                    return changed(from: .object(JSONObject()), to: value, at: path)
                }
                return [path]
            case (nil, nil): return []
            }
        }
    }
}

extension JSONValue {
    fileprivate func value(at path: ArraySlice<String>) -> JSONValue? {
        guard let name = path.first else { return self }
        guard case .object(let object) = self else { return nil }
        return object[name]?.value(at: path.dropFirst())
    }

    /// With another value at a path of names; nil takes it away.
    fileprivate func setting(_ path: ArraySlice<String>, to value: JSONValue?) -> JSONValue {
        guard let name = path.first else { return value ?? self }
        var object = JSONObject()
        if case .object(let own) = self {
            for member in own.members where member.name != name { object.set(member.name, member.value) }
            if path.count > 1 {
                object.set(name, (own[name] ?? .object(JSONObject())).setting(path.dropFirst(), to: value))
                return .object(object)
            }
        }
        if let value { object.set(name, value) }
        return .object(object)
    }
}
