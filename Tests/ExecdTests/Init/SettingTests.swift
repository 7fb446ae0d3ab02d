import HTTPServer
import Spelling
import Testing

@testable import Execd

@Suite struct SettingTests {
    @Test func `a misspelt setting is told of, and others are not execd's`() {
        let environment: [ExactName: String] = [
            "EXECD_LOGFILE": "x", "EXECD_ACCESS_TOKEN": "t", "PATH": "/bin", "JUPYTER_PORT": "1", "EXECDD": "1",
            "EXECD_WHAT_IS_THIS": "1",
        ]
        let texts = Setting.problems(in: environment).map(\.description)
        #expect(texts.count == 3, "\(texts)")
        #expect(texts.contains { $0.hasPrefix("EXECD_LOGFILE:") && $0.hasSuffix("did you mean EXECD_LOG_FILE?") })
        #expect(Setting.problems(in: environment).allSatisfy { !$0.isFatal })
    }

    @Test func `a misspelt token would leave the API open, so that nothing starts`() {
        #expect(Setting.problems(in: ["EXECD_ACESS_TOKEN": "t"]).map(\.isFatal) == [true])
        #expect(Setting.problems(in: ["EXECD_ACESS_TOKEN": "t", "EXECD_ACCESS_TOKEN": "t"]).map(\.isFatal) == [false])
    }

    @Test(arguments: [
        ("EXECD_API_GRACE_SHUTDOWN", "3"), ("EXECD_API_GRACE_SHUTDOWN", "-1s"), ("EXECD_RUNTIME_INIT", "maybe"),
        ("EXECD_JUPYTER_IDLE_POLL_INTERVAL", "soon"), ("EXECD_CONTEXT_IDLE_TIMEOUT", "30"),
        ("EXECD_CLONE3_COMPAT", "2"), ("EXECD_ACCESS_TOKEN", "a b"),
        ("EXECD_ACCESS_TOKEN", ""), ("EXECD_INIT", "x"),
    ])
    func `a malformed setting is refused by its name`(name: String, value: String) {
        let problems = Setting.problems(in: [ExactName(name): value])
        #expect(problems.first?.description.hasPrefix(name) == true && problems.first?.isFatal == true)
        #expect(problems.allSatisfy { value.isEmpty || !$0.description.contains("\"\(value)\"") })
    }

    @Test(arguments: [
        ("EXECD_API_GRACE_SHUTDOWN", "3s"), ("EXECD_API_GRACE_SHUTDOWN", ""), ("EXECD_RUNTIME_INIT", "Yes"),
        ("EXECD_CONTEXT_IDLE_TIMEOUT", "30m"), ("EXECD_CONTEXT_IDLE_TIMEOUT", "0"),
        ("EXECD_CLONE3_COMPAT", "reexec"), ("EXECD_ENVS", "anything"), ("BOOTSTRAP_CMD", "x; y"),
    ])
    func `a setting of the contract is none to complain of`(name: String, value: String) {
        #expect(Setting.problems(in: [ExactName(name): value]).isEmpty)
    }

    @Test func `what opens the sandbox is given to no command`() {
        let own = Dictionary(uniqueKeysWithValues: Setting.allCases.map { ($0.name, "secret") })
        let given = CommandEnvironment(own.merging(["A": "b"]) { _, new in new }, shell: "/bin/sh").current()
        #expect(given.filter { $0.value == "secret" }.keys.map(\.text) == ["EXECD_ENVS"])
        #expect(given["A"] == "b")
        #expect(
            !Setting.keptFromEntrypoint.contains("JUPYTER_TOKEN")
                && Setting.keptFromEntrypoint.contains("EXECD_ACCESS_TOKEN"))
    }

    @Test func `nobody changes whose sandbox it is`() throws {
        let environment = CommandEnvironment(["OPENSANDBOX_ID": "mine"], shell: "/bin/sh")
        #expect(environment.current(with: ["OPENSANDBOX_ID": "other", "A": "b"])["OPENSANDBOX_ID"] == "mine")
        #expect(
            CommandEnvironment([:], shell: "/bin/sh").current(with: ["OPENSANDBOX_ID": "x"])["OPENSANDBOX_ID"] == "x")
    }
}

@Suite struct GoDurationTests {
    @Test(
        arguments: [
            ("0", 0), ("200ms", 200_000_000), ("1.5s", 1_500_000_000), ("1h2m", 3_720_000_000_000), ("7ns", 7),
        ] as [(String, Int64)])
    func `a duration is read as Go writes it`(text: String, nanoseconds: Int64) {
        #expect(GoDuration(text)?.nanoseconds == nanoseconds)
        #expect(GoDuration("1ns")?.milliseconds == 1 && GoDuration("2s")?.milliseconds == 2000)
    }

    @Test(arguments: ["", "1", "s", "-1s", "1x", "1s ", ".s", "1e3s", "99999999999999h", "1.2.3s", "1sm"])
    func `anything else is none`(text: String) { #expect(GoDuration(text) == nil) }
}

@Suite struct WorkloadTests {
    private func chosen(_ arguments: [String], _ environment: [ExactName: String] = [:], programs: Set<String>)
        -> [String]?
    {
        Workload.arguments(arguments, environment.merging(["PATH": "/bin:relative"]) { old, _ in old }) {
            programs.contains($0)
        }
    }

    @Test func `the arguments are the program, unless they want a shell`() {
        let both: Set = ["/bin/bash", "/bin/sh"]
        #expect(chosen(["sleep", "1"], programs: both) == ["sleep", "1"])
        #expect(chosen(["-c", "x"], programs: both) == ["/bin/bash", "-c", "x"])
        #expect(chosen([], programs: ["/bin/sh"]) == ["/bin/sh"])
        #expect(chosen(["sleep"], ["BOOTSTRAP_CMD": "a; b"], programs: both) == ["/bin/bash", "-c", "a; b"])
        #expect(chosen([], ["BOOTSTRAP_SHELL": "/x/zsh"], programs: ["/x/zsh", "/bin/sh"]) == ["/x/zsh"])
        #expect(chosen([], ["BOOTSTRAP_SHELL": "zsh"], programs: ["/bin/sh", "relative/zsh"]) == ["/bin/sh"])
        #expect(chosen([], programs: []) == nil)
        #expect(chosen(["sleep"], programs: []) == ["sleep"])
    }
}

@Suite struct VariableListTests {
    @Test func `variables are read as the kernel keeps them`() {
        let variables: [ExactName: String] = ["A": "b=c", "B": "", "C": "two\nlines"]
        #expect(VariableList.parse(VariableList.bytes(variables)) == variables)
        #expect(VariableList.parse(Array("=x\0nothing\0A=1".utf8)) == ["A": "1"])
    }
}

@Suite struct LoggedTargetTests {
    @Test func `what may be a secret is not in the log`() {
        #expect(LoggedTarget.masked("/command") == "/command")
        #expect(LoggedTarget.masked("/a?path=/x&Token=abc&%74oken=abc&b") == "/a?path=/x&Token=****&%74oken=****&b")
        #expect(LoggedTarget.masked("/" + String(repeating: "x", count: 5000)).utf8.count < 2100)
    }
}

@Suite struct AccessRuleTests {
    @Test func `a digest is that of the standard`() {
        func text(_ message: String) -> String {
            Digest256.of(Array(message.utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        #expect(text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            text(String(repeating: "a", count: 1_000_000))
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func `a token is known by its digest`() throws {
        let rule = try #require(
            AccessRule(hash: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015AD"))
        #expect(rule.admits("abc") && !rule.admits("abd") && !rule.admits(nil) && !rule.admits(""))
        for text in ["", "sha256:", "sha256:zz", "md5:ba78", "sha256:" + String(repeating: "+1", count: 32)] {
            #expect(AccessRule(hash: text) == nil)
        }
        #expect(
            AccessRule.nothing.admits(nil) && !AccessRule.token("").admits("") && !AccessRule.token("t").admits(nil))
    }
}
