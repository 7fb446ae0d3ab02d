import Glibc
import NetworkPolicy
import System

/// A preset in a file of its own.
package struct PresetFile: Sendable {
    package let path: String
    package let name: String
    package let description: String
    package let rules: [Rule]

    private static let limit = 1 << 20

    init(path: String) throws(EgressError) {
        self.path = path
        let bytes: [UInt8]
        do throws(SystemCallError) { bytes = try File.read(path, limit: Self.limit) } catch {
            throw .storage(path, error)
        }
        do throws(PolicyError) {
            (name, description, rules) = try Presets.decode(json: bytes)
        } catch {
            throw .invalidPolicy("\(path): \(error)")
        }
    }

    /// Those of a folder, sorted by their files' names; `preset.schema.json` beside them is none. A folder that is not there
    /// holds none.
    /// - Throws: `EgressError` for the first file that is no preset, or has the name of one before it.
    package static func all(in folder: String) throws(EgressError) -> [PresetFile] {
        var all: [PresetFile] = []
        for name in try names(in: folder).sorted()
        where name.hasSuffix(".json") && !name.hasSuffix(".schema.json") {
            all.append(try PresetFile(path: folder + "/" + name))
        }
        return try joined(all)
    }

    private static func names(in folder: String) throws(EgressError) -> [String] {
        do throws(SystemCallError) {
            let stream = try FolderStream(folder)
            var names: [String] = []
            while let name = try stream.read() { names.append(name.description) }
            return names
        } catch {
            guard error.code == ENOENT else { throw .storage(folder, error) }
            return []
        }
    }

    /// Presets of the operator's own beside those that come with the program.
    /// - Throws: `EgressError` where one of the operator's has the name of another: what a policy opens must not depend on
    ///   which file is read last.
    package static func all(in folder: String, beside others: [PresetFile]) throws(EgressError) -> [PresetFile] {
        try joined(others + all(in: folder))
    }

    private static func joined(_ files: [PresetFile]) throws(EgressError) -> [PresetFile] {
        var paths: [String: String] = [:]
        for file in files {
            guard let other = paths.updateValue(file.path, forKey: file.name) else { continue }
            throw .invalidPolicy("\(file.path): the preset \(file.name) is in \(other) already: give it another name")
        }
        return files
    }
}

extension Presets {
    package init(_ files: [PresetFile]) {
        self.init(rules: Dictionary(files.map { ($0.name, $0.rules) }) { first, _ in first })
    }

    /// Reads every preset file of a folder.
    /// - Throws: `EgressError` for the first file that is no preset.
    package static func load(folder: String) throws(EgressError) -> Presets { Presets(try PresetFile.all(in: folder)) }
}
