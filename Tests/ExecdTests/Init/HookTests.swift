import Spelling
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

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

    private static let file = """
        # as a person writes it
        [preStart]
        command = ["sh", "-c", 'echo "begun"']
        timeoutSeconds = 5

        [[periodic]]
        name = "one"
        schedule = "@hourly"
        command = ["c"]
        [[periodic]]
        name = "two"
        schedule = "*/5 * * * *"
        command = [
          "d", # with a comment
        ]
        timeoutSeconds = 30
        """

    @Test func `a file has them as TOML or as JSON`() throws {
        let hooks = try LifecycleHooks.decode(file: Array(Self.file.utf8))
        #expect(hooks.preStart == .init(command: ["sh", "-c", "echo \"begun\""], timeoutSeconds: 5))
        #expect(
            hooks.periodic == [
                .init(name: "one", schedule: "@hourly", command: ["c"]),
                .init(name: "two", schedule: "*/5 * * * *", command: ["d"], timeoutSeconds: 30),
            ])
        let json = try LifecycleHooks.decode(file: Array(" \n{\"preStart\":{\"command\":[\"a\"]}}".utf8))
        #expect(json.preStart == .init(command: ["a"]))
        let nothing = try LifecycleHooks.decode(file: Array("# nothing yet\n".utf8))
        #expect(nothing.preStart == nil && nothing.periodic == nil)
    }

    @Test func `the file of a home is found under either name`() throws {
        let scratch = Scratch()
        mkdir(scratch.path, 0o755)
        mkdir("\(scratch.path)/.execd", 0o755)
        defer { try? FolderChanges.removeTree(scratch.path) }
        try scratch.file(".execd/lifecycle.toml", Self.file)
        let environment = [ExactName("HOME"): scratch.path]
        #expect(try LifecycleHooks.configured(environment)?.periodic?.count == 2)
        try scratch.file(".execd/lifecycle.json", #"{"periodic":[]}"#)
        #expect(try LifecycleHooks.configured(environment)?.periodic == [])
    }

    @Test(arguments: [
        "[periodic]\nname = 'n'", "[[preStart]]\ncommand = ['a']", "[preStart]\ncommand = 'a'", "[preStart]",
        "[preStart]\ncommand = ['a']\ntimeoutSeconds = 0", "[preStartt]\ncommand = ['a']", "[[periodic]]\nname = 'n'",
        "[[periodic]\n", "[preStart]\ncommand = ['a']\n[preStart]\ncommand = ['b']", "preStart = { command = ['a'] }",
        "periodic = []\n[[periodic]]\nname = 'n'\nschedule = '@hourly'\ncommand = ['c']",
    ])
    func `a malformed file is refused`(text: String) {
        #expect(throws: RequestBodyError.self) { try LifecycleHooks.decode(file: Array(text.utf8)) }
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
