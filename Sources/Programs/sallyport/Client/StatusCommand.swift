import ArgumentParser
import Client
import ControlPlane
import JSON
import ProgramSupport
import SafeText

/// `sallyport status`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say whether a server serves, and what it has.",
        discussion: "The exit status is 0 where all of it serves.")

    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var form: AnswerOptions

    func run() async throws {
        try await connection.run { api in
            let health = try await api.ask("GET", "/health")
            let ready = try await api.readiness()
            let version = try await api.ask("GET", "/version")?["version"] ?? .null
            var states: [String: Int] = [:]
            for sandbox in try await api.sandboxes(states: [], labels: []) {
                if case .string(let state)? = sandbox["status"]?["state"] { states[state, default: 0] += 1 }
            }
            // The reference's servers have no such answer.
            let isReady = ready == nil || ready?["status"] == .string("ready")
            let isWhole = health?["status"] == .string("healthy") && isReady
            if form.isJSON {
                var answer = JSONObject()
                answer.set("server", .string("\(api.origin)"))
                answer.set("api", version)
                answer.set("health", health ?? .null)
                answer.set("ready", ready ?? .null)
                var counts = JSONObject()
                for (state, count) in states.sorted(by: { $0.key < $1.key }) { counts.set(state, .integer(count)) }
                answer.set("sandboxes", .object(counts))
                ClientProgram.show(.object(answer))
            } else {
                var table = TextTable("SERVER", "HEALTH", "SANDBOXES")
                let counts = states.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
                table.add(
                    [
                        "\(api.origin)", Self.text(health, ready),
                        counts.isEmpty ? "none" : counts.joined(separator: ", "),
                    ], tones: [1: isWhole ? .good : .bad])
                Console.show(table)
                for problem in Self.problems(ready) { Console.say(problem + "\n") }
            }
            guard isWhole else { throw ExitCode(1) }
        }
    }

    private static func text(_ health: JSONValue?, _ ready: JSONValue?) -> String {
        guard case .string(let status)? = health?["status"] else { return "unknown" }
        guard case .array(let parts)? = health?["down"] else {
            return ready?["status"] == .string("unready") ? "not ready" : status
        }
        let names = parts.compactMap { if case .string(let name) = $0 { name } else { nil } }
        return "\(status): no \(names.joined(separator: ", no "))"
    }

    /// What stands in the way, a line each.
    private static func problems(_ ready: JSONValue?) -> [String] {
        guard case .array(let checks)? = ready?["checks"] else { return [] }
        return checks.compactMap { check in
            guard case .string(let name)? = check["name"], case .string(let problem)? = check["problem"] else {
                return nil
            }
            return ForeignText.escaped("\(name): \(problem)", limit: 500)
        }
    }
}
