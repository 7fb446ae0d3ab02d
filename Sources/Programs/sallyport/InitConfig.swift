import ArgumentParser
import ControlPlane
import FoundationEssentials
import System

/// `sallyport init-config`
struct InitConfig: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init-config", abstract: "Write a commented configuration to start from.")

    @Argument(help: "Where to; ~/.sandbox.toml when it is left out.")
    var path: String?

    @Flag(help: "Replace a file that is there.")
    var force = false

    @Option(help: "A short file for a common case: local, docker, or k8s, which says what is not there yet.")
    var example: Settings.Example?

    func run() throws {
        let text = example?.file ?? Settings.starterFile
        let target = path ?? (ProcessInfo.processInfo.environment["HOME"] ?? "/root") + "/.sandbox.toml"
        guard force || !FileManager.default.fileExists(atPath: target) else {
            throw ValidationError("\(target) already exists; use --force to replace it")
        }
        // The file may later contain an API key.
        do throws(SystemCallError) { try File.replace(target, with: Array(text.utf8), mode: 0o600) } catch {
            throw ValidationError("\(target) cannot be written: \(error)")
        }
        print("wrote \(target)")
    }
}

extension Settings.Example: ExpressibleByArgument {}
