import JSON
import NIOHTTP1
import Runtimes
import Testing

@testable import ControlPlane

@Suite struct DiagnosticsTests {
    private func query(_ kind: DiagnosticsQuery.Kind, _ pairs: (String, String)...) throws(APIError) -> DiagnosticsQuery
    {
        try DiagnosticsQuery(kind, pairs.map { (name: $0.0, value: $0.1) })
    }

    @Test func `a scope is taken in any case and answered in lower case`() throws {
        #expect(try query(.logs, ("scope", "Container")).scope == "container")
        for scope in ["runtime", "lifecycle", "ALL"] {
            #expect(try query(.events, ("scope", scope)).scope == scope.lowercased())
        }
        #expect(try query(.inspect, ("scope", "anything")).scope == nil)
    }

    @Test(arguments: [
        (DiagnosticsQuery.Kind.logs, "runtime"), (.logs, ""), (.events, "container"), (.events, "events"),
        (.logs, " all"),
    ]) func `a scope that there is not has its own code`(_ kind: DiagnosticsQuery.Kind, _ scope: String) {
        let error = #expect(throws: APIError.self) { try query(kind, ("scope", scope)) }
        #expect(error?.status == .badRequest && error?.code == "DIAGNOSTICS_SCOPE_UNSUPPORTED")
    }

    @Test func `what is not said is the contract's`() throws {
        #expect(try query(.logs).lines == 100 && query(.events).events == 50)
        #expect(try query(.summary).lines == 50 && query(.summary).events == 20)
        #expect(try query(.events, ("limit", "500")).events == 500 && query(.logs, ("tail", "10000")).lines == 10_000)
        #expect(try query(.summary, ("limit", "7"), ("event_limit", "8")).events == 8)
    }

    @Test(arguments: [
        ("tail", "0"), ("tail", "10001"), ("tail", "x"), ("limit", "501"), ("limit", "-1"),
        ("limit", "9999999999999999999"),
    ]) func `a number that is none is 422`(_ name: String, _ value: String) {
        #expect(throws: APIError.self) { try query(.events, (name, value)) }
    }

    @Test(arguments: [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("0s", 0), ("3650d", 315_360_000)])
    func `a duration has a unit`(_ text: String, _ seconds: Int) throws {
        #expect(try query(.events, ("since", text)).since == seconds)
    }

    @Test(arguments: ["", "s", "10", "10w", "-1m", "1.5h", "3651d", "99999999999d", "1 m", "٣m"])
    func `what is no duration is refused`(_ text: String) {
        #expect(throws: APIError.self) { try query(.events, ("since", text)) }
    }

    @Test func `what is of no time is not chosen by times`() {
        for kind in [DiagnosticsQuery.Kind.summary, .inspect] {
            #expect(throws: APIError.self) { try query(kind, ("since", "10m")) }
        }
    }

    @Test func `output is that of so long ago where the runtime knows it, and refused where it does not`() async throws
    {
        let house = try House(), id = try await house.create()
        let path = "/v1/sandboxes/\(id)/diagnostics/logs?since="
        let told = await house.send(.GET, path + "10m")
        #expect(told.status == 200 && told.text == "line 2 of 600 seconds")
        let refused = await house.send(.GET, path + "9m")
        #expect(refused.status == 400 && refused.text.contains("no times"))
    }

    @Test func `events are those of so long ago`() {
        let now = Timestamp.now()
        var sandbox = Sandbox.sample("a", at: now.adding(seconds: -100))
        sandbox.history = [sandbox.status]
        sandbox = sandbox.moved(to: .paused, reason: StatusReason.paused)
        #expect(DiagnosticsText.events(sandbox).count == 2)
        let late = DiagnosticsText.events(sandbox, since: now.adding(seconds: -50))
        #expect(late.count == 1 && late[0].hasSuffix("Paused CONTAINER_PAUSED: The sandbox is paused."))
    }

    @Test func `an inspection has the contract's columns, and no secret's value`() {
        let now = Timestamp(microseconds: 1_700_000_000_000_000)
        var sandbox = Sandbox.sample("0123456789ab-cdef", at: now)
        sandbox.history = [sandbox.status]
        sandbox.metadata = ["team": "red", "apiToken": "271828", "KEY": "271828"]
        sandbox.limits = ResourceLimits(cpuMillis: 500, memoryBytes: 64 << 20)
        let lines = DiagnosticsText.inspect(sandbox, isolation: "a wall", leftovers: ["a mount"])
        let text = lines.joined(separator: "\n")
        for line in [
            "Container ID:   0123456789ab", "Status:         running", "Running:        True", "Paused:         False",
            "OOMKilled:      False", "Exit Code:      0", "Finished At:    0001-01-01T00:00:00Z",
            "Isolation:      a wall", "  CPU:          0.50 cores", "  Memory:       64 MiB", "  PIDs Limit:   4096",
            "  team=red", "  apiToken=***", "  KEY=***", "  a mount",
        ] { #expect(lines.contains(line), "\(line) in \(text)") }
        #expect(!text.contains("271828"))
        sandbox = sandbox.moved(to: SandboxStatus(SandboxEnd(id: "a", entrypoint: .exited(3))))
        let ended = DiagnosticsText.inspect(sandbox, isolation: "", leftovers: [])
        #expect(ended.contains("Exit Code:      3") && ended.contains("Status:         exited"))
        #expect(ended.contains { $0.hasPrefix("Error:          the entrypoint ended with exit code 3") })
    }

    @Test func `a summary has all of them`() {
        let lines = DiagnosticsText.summary("a", inspect: ["i"], events: ["e"], output: ["o"], tail: 7)
        #expect(lines[1] == "SANDBOX DIAGNOSTICS SUMMARY" && lines.contains("LOGS (last 7 lines)"))
        for line in ["i", "e", "o", "INSPECT", "EVENTS"] { #expect(lines.contains(line)) }
    }

    @Test func `every state that a sandbox comes into has its reason, a sentence and a time`() async throws {
        let house = try House(), id = try await house.create()
        for change in ["pause", "resume"] { _ = await house.send(.POST, "/v1/sandboxes/\(id)/\(change)") }
        let history = try #require(house.service.catalog[id]?.history)
        #expect(history.map(\.state) == [.pending, .running, .pausing, .paused, .resuming, .running])
        #expect(history.allSatisfy { !$0.reason.isEmpty && !$0.message.isEmpty })
        #expect(zip(history, history.dropFirst()).allSatisfy { $0.since <= $1.since })
        let told = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/events?scope=lifecycle&limit=2").json
        #expect(told?["truncated"] == .boolean(true) && told?["warnings"] == nil)
    }
}
