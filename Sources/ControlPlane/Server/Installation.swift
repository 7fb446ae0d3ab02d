import Egress
import FoundationEssentials
import NetworkPolicy
import Runtimes

/// Finds the files that come with the program: beside it in a build, or where a package installs them.
struct Installation: Sendable {
    /// The folder of the running program.
    var programFolder: String

    static let current = Installation(
        programFolder: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            .map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) } ?? "/usr/local/bin")

    /// The static execd: a release build's, or a package's. A debug build's is not static; it takes the one of the release build beside it.
    func execd() throws(ConfigurationError) -> String {
        let candidates = [
            programFolder + "/../release/execd", "/usr/local/lib/sallyport/execd", RuntimeError.packagedExecd,
        ]
        if let found = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) { return found }
        throw ConfigurationError(
            "the static execd is not found: run `make execd`, or name it in local.execd; the package has it at "
                + RuntimeError.packagedExecd)
    }

    /// The presets that come with the program, none if their folder is not found, and the operator's own beside them.
    func presetFiles(_ egress: Settings.Egress) throws(ConfigurationError) -> [PresetFile] {
        let found = try policies(folder: egress.presets)
        if let own = egress.ownPresets, !FileManager.default.fileExists(atPath: own) {
            throw ConfigurationError("egress.own_presets: there is no folder \(own)")
        }
        do throws(EgressError) {
            let shipped = try found.map { (folder) throws(EgressError) in try PresetFile.all(in: folder) } ?? []
            return try egress.ownPresets.map { (own) throws(EgressError) in
                try PresetFile.all(in: own, beside: shipped)
            } ?? shipped
        } catch {
            throw ConfigurationError("the presets: \(error)")
        }
    }

    /// The list of resolvers beside the presets.
    func knownResolvers(folder: String?) throws(ConfigurationError) -> KnownResolvers {
        let resolvers: KnownResolvers
        do {
            resolvers =
                try policies(folder: folder).map { (folder) throws(EgressError) in
                    try KnownResolvers.load(folder: folder)
                } ?? .none
        } catch {
            throw ConfigurationError("egress.block_doh: \(error)")
        }
        guard !resolvers.targets.isEmpty else {
            throw ConfigurationError("egress.block_doh: there is no resolvers/known.json beside the presets")
        }
        return resolvers
    }

    /// Where the presets and what is beside them are, if anywhere.
    func presetFolders(_ egress: Settings.Egress) -> [String] {
        let shipped: String?
        do { shipped = try policies(folder: egress.presets) } catch { shipped = nil }
        return [shipped, egress.ownPresets].compactMap { $0 }
    }

    /// The folder of the API's documents (scripts/api-pages.sh); nil if it is not found.
    func pages(folder: String?) throws(ConfigurationError) -> String? {
        let folders =
            folder.map { [$0] } ?? [
                programFolder + "/../../../.build-pages", "/usr/local/share/sallyport/pages",
                "/usr/share/sallyport/pages",
            ]
        let found = folders.first { FileManager.default.fileExists(atPath: $0 + "/openapi.json") }
        guard found != nil || folder == nil else {
            throw ConfigurationError("server.docs_dir: there is no openapi.json in \(folder!)")
        }
        return found
    }

    private func policies(folder: String?) throws(ConfigurationError) -> String? {
        let folders =
            folder.map { [$0] } ?? [
                programFolder + "/../../../policies", "/usr/local/share/sallyport/policies",
                "/usr/share/sallyport/policies",
            ]
        let found = folders.first { FileManager.default.fileExists(atPath: $0) }
        guard found != nil || folder == nil else {
            throw ConfigurationError("egress.presets: there is no folder \(folder!)")
        }
        return found
    }
}
