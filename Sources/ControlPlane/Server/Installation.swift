import FoundationEssentials
import NetworkPolicy

/// Where the files lie that come with the program: beside it in a build, or where a package puts them.
struct Installation: Sendable {
    /// The folder of the running program.
    var programFolder: String

    static let current = Installation(
        programFolder: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            .map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) } ?? "/usr/local/bin")

    /// The static execd. A build folder is `.build/<triple>/<configuration>`, and the static one lies beside `.build`.
    func execd() throws(ConfigurationError) -> String {
        let candidates = [
            programFolder + "/execd.static", programFolder + "/../../../.build-static/release/execd",
            "/usr/local/lib/sallyport/execd", "/usr/lib/sallyport/execd",
        ]
        if let found = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) { return found }
        throw ConfigurationError("the static execd is not found: run `make execd`, or name it in local.execd")
    }

    /// The presets; none where the folder is not found.
    func presets(folder: String?) throws(ConfigurationError) -> Presets {
        let folders =
            folder.map { [$0] } ?? [
                programFolder + "/../../../policies", "/usr/local/share/sallyport/policies",
                "/usr/share/sallyport/policies",
            ]
        guard let found = folders.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
            guard folder == nil else { throw ConfigurationError("egress.presets: there is no folder \(folder!)") }
            return .none
        }
        do { return try Presets.load(folder: found) } catch {
            throw ConfigurationError("the presets in \(found): \(error)")
        }
    }
}
