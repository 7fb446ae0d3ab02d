import HTTPClient
import JSON
import Spelling
import Testing

@testable import Runtimes

@Suite struct EngineCallTests {
    @Test func `no name leads to another path or another parameter`() {
        let call = EngineCall(
            "GET", "images", "evil/../../containers?force=1#x y", "json", query: [("name", "a&b=c")])
        #expect(call.target == "/images/evil%2F..%2F..%2Fcontainers%3Fforce%3D1%23x%20y/json?name=a%26b%3Dc")
    }

    @Test func `filters are JSON, whatever the values are`() {
        let (name, text) = EngineCall.filters(["label": [#"a="b","c"#]])
        #expect(name == "filters" && text == #"{"label":["a=\"b\",\"c"]}"#)
    }

    @Test func `an engine's refusal is one line of bounded length`() {
        let failure = EngineFailure(status: 500, body: Array(#"{"message":"bad\nnews\u001b[31m"}"#.utf8))
        #expect(failure.description == #"bad\nnews\u{1b}[31m"# && failure.status == 500)
        let long = EngineFailure(status: 500, body: [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20))
        #expect(long.description.count <= 501)
        #expect(EngineFailure(status: 502, body: []).description == "status 502")
    }

    @Test(arguments: [
        "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", "Minimum memory limit allowed is 6MB",
        #"could not select device driver "" with capabilities: [[gpu]]"#,
    ])
    func `a limit that the engine refuses is known by its words`(_ text: String) {
        #expect(EngineFailure(.refused(400), text).isOfALimit)
        #expect(!EngineFailure(.refused(500), "no space left on device").isOfALimit)
    }

    @Test func `a full disk of the engine is no room for another sandbox, in its own words`() {
        let words = "Error response: write /var/lib/docker/x: no space left on device"
        guard case .noCapacity(let reason) = RuntimeError(EngineFailure(.refused(500), words), "making a") else {
            return #expect(Bool(false))
        }
        #expect(reason.contains(words) && reason.contains("making a"))
        guard case .system = RuntimeError(EngineFailure(.malformed, words), "making a") else {
            return #expect(Bool(false))
        }
    }

    @Test func `an engine that is away is unknown, and not an absence`() {
        let failure = EngineFailure(.timedOut, engine: "unix:///x")
        guard case .unavailable = RuntimeError(failure, "looking") else { return #expect(Bool(false)) }
        #expect(RuntimeError(EngineFailure(.cancelled, engine: "x"), "looking") == .cancelled)
    }
}

@Suite struct EngineAnswerTests {
    private func phase(_ status: String, running: Bool = false, paused: Bool = false) throws -> ContainerPhase {
        let state =
            #"{"Status":"\#(status)","Running":\#(running),"Paused":\#(paused),"Restarting":false,"OOMKilled":false,"Pid":7,"ExitCode":0,"Error":""}"#
        let read: ContainerFacts.State = try EngineClient.read(Array(state.utf8))
        return read.phase
    }

    @Test func `every state of the contract has its phase, and no other is taken for one`() throws {
        #expect(try phase("running", running: true) == .running)
        #expect(try phase("paused", running: true, paused: true) == .paused)
        #expect(try phase("created") == .created)
        #expect(try phase("exited") == .ended)
        #expect(try phase("dead") == .ended)
        #expect(try phase("removing") == .removing)
        #expect(try phase("dreaming") == .unknown("dreaming"))
    }

    @Test(arguments: [
        "{}", "[]", "null", "", #"{"Id":"x"}"#, #"{"Id":7,"State":{},"Config":{},"HostConfig":{},"Image":""}"#,
    ])
    func `an answer without what is needed is no answer`(_ text: String) {
        #expect(throws: EngineFailure.self) { try EngineClient.read(Array(text.utf8)) as ContainerFacts }
    }

    @Test func `what keeps a container apart is one line, without a profile's text`() throws {
        let told = #"""
            {"Id":"x","Image":"sha256:0123456789abcdef0123","State":{"Status":"running","Running":true,"Paused":false,
            "Restarting":false,"OOMKilled":false,"Pid":7,"ExitCode":0},
            "Config":{"Entrypoint":["/execd","--held","--program-user","no\nde"]},
            "HostConfig":{"Runtime":"runsc","NetworkMode":"none","CapDrop":["CAP_NET_ADMIN","NET_RAW"],
            "SecurityOpt":["no-new-privileges=true","seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\"}"]}}
            """#
        let found: ContainerFacts = try EngineClient.read(Array(told.utf8))
        let expected =
            #"a container (runsc), image sha256:0123456789ab, network none, program's user no\nde, "#
            + "capabilities without NET_ADMIN NET_RAW, no-new-privileges=true, seccomp=a profile of the operator's"
        #expect(found.isolation == expected)
    }

    private func facts(network: String, _ labels: String) throws -> ContainerFacts {
        let state =
            #"{"Status":"running","Running":true,"Paused":false,"Restarting":false,"OOMKilled":false,"Pid":7,"ExitCode":0}"#
        let text =
            #"{"Id":"x","State":\#(state),"Config":{"Labels":{\#(labels)}},"HostConfig":{"NetworkMode":"\#(network)"},"Image":"i"}"#
        return try EngineClient.read(Array(text.utf8))
    }

    @Test func `ports in the machine's own network are read of a container that is there, whatever its image says`()
        throws
    {
        let labels = #""sallyport.io/execd-port":"40001","sallyport.io/code-port":"40002""#
        #expect(try facts(network: "host", labels).shared == SharedNetwork(execd: 40_001, code: 40_002))
        #expect(try facts(network: "none", labels).shared == nil, "an image brings labels")
        for wrong in [
            "", #""sallyport.io/execd-port":"40001""#, #""sallyport.io/execd-port":"0","sallyport.io/code-port":"1""#,
            #""sallyport.io/execd-port":"","sallyport.io/code-port":"""#,
            #""sallyport.io/execd-port":"65536","sallyport.io/code-port":"1""#,
        ] { #expect(try facts(network: "host", wrong).shared == nil, "\(wrong)") }
    }

    @Test func `an image's variables are names and values, of which a value may have any bytes`() throws {
        let text = #"{"Id":"i","Os":"linux","Architecture":"amd64","Config":{"Env":["A=b=c","B=","C","D=\u0301"]}}"#
        let image: EngineImage = try EngineClient.read(Array(text.utf8))
        #expect(image.environment == ["A": "b=c", "B": "", "D": "\u{301}"])
    }

    @Test func `events are told apart, and what is none is refused`() throws {
        func read(_ text: String) throws -> EngineEvent? { try EngineEvent.read(Array(text.utf8)) }
        let died = try read(
            #"{"Type":"container","Action":"die","Actor":{"ID":"x","Attributes":{"opensandbox.io/id":"a"}}}"#
        )
        #expect(died?.action == .died && died?.attributes["opensandbox.io/id"] == "a")
        #expect(try read(#"{"Type":"network","Action":"destroy","Actor":{}}"#) == nil)
        #expect(try read("  ") == nil)
        #expect(throws: EngineFailure.self) { try read(#"{"Type":"container"}"#) }
        #expect(throws: EngineFailure.self) { try read("die") }
    }

    @Test func `an image says root in many words`() throws {
        for (user, expected) in [("", nil), ("0:0", nil), ("root", nil), ("node", "node"), ("1000:1000", "1000:1000")] {
            let image: EngineImage = try EngineClient.read(
                Array(#"{"Id":"sha256:1","Os":"linux","Architecture":"amd64","Config":{"User":"\#(user)"}}"#.utf8))
            #expect(image.user == expected && image.platform == "linux/amd64")
        }
    }
}

@Suite struct LogFramesTests {
    private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
        [stream, 0, 0, 0, 0, 0, 0, UInt8(text.utf8.count)] + text.utf8
    }

    @Test func `output is the same however it is cut`() {
        let bytes = frame(1, "one\n") + frame(2, "two\n") + frame(1, "") + frame(1, "three")
        for size in 1...bytes.count {
            var frames = LogFrames(), text: [UInt8] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                text += frames.take(rest.prefix(size))
                rest = rest.dropFirst(size)
            }
            #expect(String(decoding: text, as: UTF8.self) == "one\ntwo\nthree" && !frames.isBroken)
        }
    }

    @Test func `what is no frame ends the reading`() {
        var frames = LogFrames()
        #expect(frames.take(Array("plain text".utf8)).isEmpty && frames.isBroken)
    }
}

@Suite struct PullProgressTests {
    private let image = try! ImageReference("registry.example/denied/unauthorized:1")

    private func error(_ words: String) -> ImageError { PullProgress.error(words, for: image, platform: "linux/arm64") }

    @Test func `a failure is one line among progress`() throws {
        #expect(try PullProgress.failure(in: Array(#"{"status":"Pulling","progressDetail":{}}"#.utf8)) == nil)
        #expect(
            try PullProgress.failure(in: Array(#"{"errorDetail":{"message":"no\nway"},"error":"no way"}"#.utf8))
                == #"no\nway"#)
        #expect(throws: EngineFailure.self) { try PullProgress.failure(in: Array("pulling".utf8)) }
    }

    @Test func `the caller's faults are told from the registry's`() {
        let own = image.familiar
        #expect(error("manifest for \(own) not found: manifest unknown: manifest unknown") == .notFound(own))
        #expect(error("Head \"https://registry.example/v2/\": no basic auth credentials") == .unauthorized(own))
        #expect(error("pull access denied for x, repository does not exist") == .unauthorized(own))
        #expect(error("Head https://registry.example/v2/: unauthorized: authentication required") == .unauthorized(own))
        #expect(
            error("no matching manifest for linux/arm64 in the manifest list entries")
                == .unsupportedPlatform(own, platform: "linux/arm64"))
        #expect(!error("dial tcp: lookup registry.example: no such host").isCallersFault)
        #expect(!error("\(own): server gave HTTP response").isCallersFault, "a name is no answer")
    }
}
