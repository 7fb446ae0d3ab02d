import JSON
import Spelling

/// A table of the configuration with its keys.
struct SettingSection: Sendable {
    /// Applies keys that depend on each other, after each has been read.
    typealias Finish = @Sendable (SettingValues, inout Settings) throws(ConfigurationError) -> Void

    /// `ingress.secure_access`
    let path: String
    let summary: String
    let keys: [SettingKey]
    /// Lists of tables below it, `[[path.name]]`, with the keys that each table must have; all values are texts.
    let lists: [SettingList]
    let finish: Finish

    init(
        _ path: String, _ summary: String, _ keys: [SettingKey], lists: [SettingList] = [],
        finish: @escaping Finish = { (_, _) throws(ConfigurationError) in }
    ) {
        (self.path, self.summary, self.keys, self.lists, self.finish) = (path, summary, keys, lists, finish)
    }
}

struct SettingList: Sendable {
    struct Key: Sendable {
        let name: String
        let example: String
        let summary: String
    }
    let name: String
    let summary: String
    let keys: [Key]
}

/// The values of one section in a file.
struct SettingValues {
    let section: SettingSection
    fileprivate(set) var values: [String: SettingValue] = [:]
    /// The tables of each list, by the list's name, in order.
    fileprivate(set) var tables: [String: [[String: String]]] = [:]

    var isEmpty: Bool { values.isEmpty && tables.isEmpty }
    subscript(name: String) -> SettingValue? { values[name] }
    func path(_ name: String) -> String { section.path + "." + name }
}

extension Settings {
    /// Reads a file. An unknown key is an error that names the nearest known one.
    mutating func apply(_ file: JSONValue) throws(ConfigurationError) {
        guard case .object(let root) = file else { throw ConfigurationError("the file is not a table") }
        try ReferenceSettings.refuse(in: root)
        for section in Self.sections {
            var found = SettingValues(section: section)
            if let table = try Self.table(section.path, in: root) {
                for member in table.members {
                    try Self.take(member, of: section, into: &found)
                    if let key = section.keys.first(where: { $0.name == member.name }), let value = found[key.name] {
                        try key.apply(value, &self)
                    }
                }
            }
            try section.finish(found, &self)
        }
        try Self.refuseUnknown(root, at: "")
        try refuseSharedFiles()
    }

    /// The table with a dotted path; nil if the file has none.
    private static func table(_ path: String, in root: JSONObject) throws(ConfigurationError) -> JSONObject? {
        var table = root
        var passed: [Substring] = []
        for name in path.split(separator: ".") {
            passed.append(name)
            guard let value = table[String(name)] else { return nil }
            guard case .object(let next) = value else {
                throw ConfigurationError("\(passed.joined(separator: ".")) is a table, not a single value")
            }
            table = next
        }
        return table
    }

    private static func take(
        _ member: JSONObject.Member, of section: SettingSection, into found: inout SettingValues
    ) throws(ConfigurationError) {
        let path = found.path(member.name)
        if let key = section.keys.first(where: { $0.name == member.name }) {
            found.values[key.name] = SettingValue(
                path: path, advice: key.values, value: member.value, isSecret: key.isSecret)
        } else if let list = section.lists.first(where: { $0.name == member.name }) {
            guard case .array(let entries) = member.value else {
                throw ConfigurationError("\(path) is a list of tables: write [[\(path)]]")
            }
            found.tables[list.name] = try entries.enumerated().map { place, entry throws(ConfigurationError) in
                try Self.entry(entry, of: list, at: "\(path).\(place)")
            }
        }
    }

    private static func entry(
        _ value: JSONValue, of list: SettingList, at path: String
    ) throws(ConfigurationError) -> [String: String] {
        guard case .object(let object) = value else { throw ConfigurationError("\(path) is not a table") }
        var texts: [String: String] = [:]
        for member in object.members {
            guard list.keys.contains(where: { $0.name == member.name }) else {
                throw unknown(member.name, at: path, known: list.keys.map(\.name))
            }
            texts[member.name] = try SettingValue(
                path: "\(path).\(member.name)", advice: "a string", value: member.value, isSecret: true
            ).text()
        }
        for key in list.keys where texts[key.name] == nil {
            throw ConfigurationError("\(path).\(key.name) is missing")
        }
        return texts
    }

    /// Checks every name, so that misspelt ones are not ignored.
    private static func refuseUnknown(_ table: JSONObject, at path: String) throws(ConfigurationError) {
        let prefix = path.isEmpty ? "" : path + "."
        let section = sections.first { $0.path == path }
        let below = Set(
            sections.filter { $0.path.hasPrefix(prefix) && $0.path != path }.map {
                String($0.path.dropFirst(prefix.utf8.count).prefix { $0 != "." })
            })
        let keys = (section?.keys.map(\.name) ?? []) + (section?.lists.map(\.name) ?? [])
        for member in table.members where !keys.contains(member.name) {
            guard below.contains(member.name) else {
                throw unknown(member.name, at: path, known: keys + below)
            }
            guard case .object(let next) = member.value else {
                throw ConfigurationError("\(prefix)\(member.name) is a table, not a single value")
            }
            try refuseUnknown(next, at: prefix + member.name)
        }
    }

    private static func unknown(_ name: String, at path: String, known: [String]) -> ConfigurationError {
        let hint =
            SimilarName.nearest(to: name, among: known).map { "did you mean \($0)?" }
            ?? "use " + known.sorted().joined(separator: ", ")
        return ConfigurationError("\(path.isEmpty ? "" : path + ".")\(name.prefix(64)) is unknown; \(hint)")
    }
}
