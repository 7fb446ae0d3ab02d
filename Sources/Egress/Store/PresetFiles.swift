import NetworkPolicy
import System

extension Presets {
    /// Reads every preset file of a folder; `preset.schema.json` beside them is no preset. A folder that is not there holds
    /// none.
    /// - Throws: `PolicyError` for the first file that is no preset.
    package static func load(folder: String) throws(PolicyError) -> Presets {
        var all: [String: [Rule]] = [:]
        let names = File.names(in: folder) ?? []
        for name in names.sorted() where name.hasSuffix(".json") && !name.hasSuffix(".schema.json") {
            let preset = try decode(json: (try? File.read(folder + "/" + name)) ?? [])
            all[preset.name] = preset.rules
        }
        return Presets(rules: all)
    }
}
