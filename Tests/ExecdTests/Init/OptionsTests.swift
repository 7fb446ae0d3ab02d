import Spelling
import Testing

@testable import Execd

@Suite struct OptionsTests {
    @Test func `everything after the dashes is the entrypoint`() throws {
        let options = try Options.parse(["--port", "1234", "--", "sleep", "--port", "9"])
        #expect(options.port == 1234 && options.entrypoint == ["sleep", "--port", "9"])
    }

    @Test func `the process that serves is told what init was told`() throws {
        let options = try Options.parse([
            "--token-file", "/t", "--longest-line", "2048", "--port", "7", "--own-group", "3,4", "--command-group",
            "5,6",
            "--", "sleep",
        ])
        #expect(options.ownGroup.descriptors == [3, 4] && options.commandGroup.descriptors == [5, 6])
        var found = options
        found.sidecar = try #require(PolicySidecar(words: "7,5"))
        #expect(try Options.parse(found.serving).sidecar == found.sidecar && PolicySidecar(words: "5,x") == nil)
        let serving = try Options.parse(options.serving)
        #expect(serving.address == nil, "every address")
        // It is passed those of commands alone.
        #expect(serving.ownGroup.isEmpty && serving.commandGroup.descriptors == [3, 4])
        #expect(serving.serves && serving.port == 7 && serving.tokenFile == "/t" && serving.maxLine == 2048)
    }

    @Test(arguments: [
        ["--port"], ["--port", "x"], ["--port", "70000"], ["--"], ["sleep"], ["--token-file"], ["--longest-line"],
        ["--report"], ["--report", "-1"], ["--report", "x"], ["--longest-line", "1023"], ["--longest-line", "4194305"],
        ["--longest-line", "1e3"], ["--address"], ["--address", "localhost"], ["--address", "127.0.0.1:80"],
        ["--own-group"], ["--own-group", "2"], ["--command-group", "3;4"],
    ])
    func `a malformed command line is refused`(arguments: [String]) {
        #expect(throws: Options.OptionError.self) { try Options.parse(arguments) }
    }

    @Test(arguments: [["--port=1234"], ["-port", "1234"], ["-port=1234"], ["--port", "1234"]])
    func `a flag has one dash or two, and its value behind it or behind a sign of equality`(arguments: [String]) throws
    {
        #expect(try Options.parse(arguments).port == 1234)
    }

    @Test func `the process that serves is told the one address at which it does`() throws {
        let options = try Options.parse(["--held", "--address", "127.0.0.1", "--port=40001"])
        let serving = try Options.parse(options.serving)
        #expect(serving.address == "127.0.0.1" && serving.port == 40_001 && serving.listener == nil)
    }

    @Test func `flags go over variables`() throws {
        let options = try Options.parse([
            "--access-token=a=b", "-jupyter-host", "http://127.0.0.1:1", "--graceful-shutdown-timeout", "1s",
            "--runtime-init=true", "--log-level=7", "--context-idle-timeout=1h",
        ])
        #expect(
            options.variables == [
                "EXECD_ACCESS_TOKEN": "a=b", "JUPYTER_HOST": "http://127.0.0.1:1", "EXECD_API_GRACE_SHUTDOWN": "1s",
                "EXECD_RUNTIME_INIT": "1", "EXECD_CONTEXT_IDLE_TIMEOUT": "1h",
            ])
        #expect(options.logLevel == 7)
        #expect(try Options.parse(["--runtime-init=false"]).variables.isEmpty)
    }

    @Test func `a held start waits to be told, and needs no program`() throws {
        let options = try Options.parse(["--held"])
        #expect(options.isHeld && options.isInit && options.entrypoint.isEmpty)
        #expect(options.variables == ["EXECD_RUNTIME_INIT": "1"])
        var serving = options
        (serving.stateFile, serving.started) = (3, 4)
        #expect(serving.serving.suffix(4) == ["--state", "3", "--started", "4"])
        #expect(try Options.parse(serving.serving).started == 4)
        serving.listener = 9
        #expect(serving.serving.suffix(2) == ["--listener", "5"], "the number of the copy that the API gets")
        (serving.stateFile, serving.started) = (nil, nil)
        #expect(try Options.parse(serving.serving).listener == 3)
    }

    @Test func `what execd reads at its start is known to those who begin it later`() {
        let own = Set(Setting.allCases.map(\.name) + ["HOME"])
        #expect(ExecdVariables.readAtStart == own.union(ExecdVariables.ofTelemetry))
    }

    @Test func `under the name of the script everything is the program`() throws {
        let options = try Options.parse(program: ["/opt/opensandbox/bootstrap.sh", "--port", "1"])
        #expect(options.isInit && options.entrypoint == ["--port", "1"] && options.port == 44772)
        #expect(try Options.parse(program: ["bootstrap.sh"]).entrypoint.isEmpty)
        let script = ["/opt/opensandbox/execd", "/opt/opensandbox/bootstrap.sh", "--port", "bootstrap.sh"]
        let begun = try Options.parse(program: script)
        #expect(begun.isInit && begun.entrypoint == ["--port", "bootstrap.sh"])
        #expect(try Options.parse(program: ["execd", "--init", "--", "bootstrap.sh"]).entrypoint == ["bootstrap.sh"])
        #expect(try !Options.parse(program: ["execd", "--token-file=/run/bootstrap.sh"]).isInit, "a flag is no script")
        #expect(try Options.parse(program: ["/x/execd", "--port", "1"]).port == 1)
    }

    @Test(arguments: [
        (["--prot", "1"], "did you mean --port?"), (["--acces-token=x"], "did you mean --access-token?"),
    ])
    func `a misspelt flag is told of`(arguments: [String], hint: String) {
        let error = #expect(throws: Options.OptionError.self) { try Options.parse(arguments) }
        #expect(error?.description.contains(hint) == true)
    }
}
