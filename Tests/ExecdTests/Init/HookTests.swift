import Spelling
import Testing

@testable import Execd

@Suite struct ScheduleTests {
    // Thursday, 2026-01-01 00:00:00 UTC.
    private let start: Int64 = 1_767_225_600

    @Test(
        arguments: [
            ("* * * * *", 60), ("*/15 * * * *", 900), ("30 2 * * *", 9000), ("0 0 * * mon", 4 * 86_400),
            ("0 0 1 2 *", 31 * 86_400), ("0 0 29 2 *", 789 * 86_400), ("@hourly", 3600), ("@daily", 86_400),
            ("@every 90s", 90), ("@every 1h30m", 5400), ("0 0 * * 7", 3 * 86_400), ("5,10-12/2 * * * *", 300),
            // Either day is enough where both are named.
            ("0 0 13 * 5", 86_400), ("0 12 1-7 * *", 43_200), ("0 0 31 * *", 30 * 86_400),
        ] as [(String, Int64)])
    func `the next time is cron's`(text: String, seconds: Int64) throws {
        let schedule = try #require(Schedule(text))
        #expect(schedule.next(after: start) == start + seconds)
    }

    @Test(arguments: [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
        "5-1 * * * *", "a * * * *", "1,,2 * * * *", "0 0 30 2 *", "@every", "@every 500ms", "@every -1s", "@sometimes",
        "1/2/3 * * * *", "999999999999 * * * *",
    ])
    func `what never comes, or means nothing, is refused`(text: String) { #expect(Schedule(text) == nil) }
}

@Suite struct LifecycleHooksTests {
    @Test func `hooks are read as a create has them`() throws {
        let text =
            #"{"preStart":{"command":["a","b"],"timeoutSeconds":5},"periodic":[{"name":"n","schedule":"@hourly","command":["c"]}]}"#
        let hooks = try #require(try LifecycleHooks.configured(["OPENSANDBOX_LIFECYCLE": text]))
        #expect(hooks.preStart == .init(command: ["a", "b"], timeoutSeconds: 5))
        #expect(hooks.periodic == [.init(name: "n", schedule: "@hourly", command: ["c"])])
        let none = try LifecycleHooks.configured([:])
        #expect(none == nil)
    }

    @Test(arguments: [
        "{", "[]", #"{"preStart":{"command":[]}}"#, #"{"preStart":{"command":["a"],"timeoutSeconds":0}}"#,
        #"{"preStart":{"command":["a\u0000"]}}"#, #"{"periodic":[{"name":"n","schedule":"x","command":["c"]}]}"#,
        #"{"periodic":[{"name":"n","schedule":"@daily","command":["c"],"timeoutSeconds":301}]}"#,
        #"{"periodic":[{"name":"n","schedule":"@daily","command":["c"]},{"name":"n","schedule":"@daily","command":["c"]}]}"#,
        #"{"preStartt":{"command":["a"]}}"#,
    ])
    func `malformed hooks are refused`(text: String) {
        #expect(throws: RequestBodyError.self) { try LifecycleHooks.configured(["OPENSANDBOX_LIFECYCLE": text]) }
    }
}
