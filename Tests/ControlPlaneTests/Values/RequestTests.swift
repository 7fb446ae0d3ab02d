import Foundation
import JSON
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Spelling
import Testing

@testable import ControlPlane

private func request(_ change: String = "", without: String? = nil) throws -> CreateRequest {
    var fields: [String: Any] = [
        "image": ["uri": "python:3.11"], "timeout": 600, "resourceLimits": ["cpu": "1", "memory": "2Gi"],
        "entrypoint": ["tail", "-f", "/dev/null"], "secureAccess": false,
    ]
    let changes = try JSONSerialization.jsonObject(with: Data("{\(change)}".utf8)) as! [String: Any]
    fields.merge(changes) { _, new in new }
    if let without { fields[without] = nil }
    let bytes = Array(try JSONSerialization.data(withJSONObject: fields))
    return try CreateRequest(JSONValue(bytes), limits: RequestLimits(maxTimeout: 80_000))
}

private func refusal(_ change: String, without: String? = nil) throws -> APIError {
    try #require(throws: APIError.self) { _ = try request(change, without: without) }
}

@Suite struct CreateRequestTests {
    @Test func `the official client's body is understood`() throws {
        let request = try request()
        #expect(request.image == "python:3.11" && request.entrypoint == ["tail", "-f", "/dev/null"])
        #expect(request.timeout == 600 && request.limits == ResourceLimits(cpuMillis: 1000, memoryBytes: 2 << 30))
        #expect(request.policy == nil && !request.secureAccess && request.credentials == nil)
    }

    @Test func `variables in two spellings are two, and other names in two spellings are refused`() throws {
        func request(_ field: String) throws -> CreateRequest {
            let text = #"{"image":{"uri":"a"},"entrypoint":["b"],"resourceLimits":{},\#(field)}"#
            return try CreateRequest(JSONValue(Array(text.utf8)), limits: RequestLimits())
        }
        let variables = try request(#""env":{"\u00e9":"1","e\u0301":"2"}"#).environment
        #expect(variables == ["\u{e9}": "1", "e\u{301}": "2"])
        for field in ["metadata", "extensions"] {
            let refused = #expect(throws: APIError.self) { try request(#""\#(field)":{"K":"1","\u212a":"2"}"#) }
            #expect(refused?.status == .unprocessableEntity && refused?.message.contains(field) == true)
        }
        let patch = try JSONValue(Array(#"{"K":"1","\u212a":"2"}"#.utf8))
        #expect(throws: APIError.self) { try MetadataPatch(patch) }
    }

    @Test func `no answer grows with the number of mistakes in a request`() throws {
        let numbers = Array(repeating: "1", count: 10_000).joined(separator: ",")
        let refused = try refusal(#""entrypoint":["a",\#(numbers)]"#)
        #expect(refused.status == .unprocessableEntity && refused.detail?.count == Problems.most + 1)
        #expect(refused.detail?.last?.msg == "9900 more problems are not listed")
        let volumes = Array(repeating: "{}", count: 10_000).joined(separator: ",")
        #expect(try refusal(#""volumes":[\#(volumes)]"#).detail!.count <= Problems.most + 1)
        let name = String(repeating: "a", count: 100_000)
        #expect(try refusal(#""env":{"\#(name)":1}"#).message.utf8.count < 1000)
        #expect(try refusal(#""image":{"uri":"\#(name)"}"#).detail?.map(\.type) == ["string_too_long"])
    }

    @Test func `a null timeout stays until it is deleted, null values of env are variables to do without`() throws {
        let request = try request(
            #""timeout":null,"env":{"A":"1","B":null},"metadata":{"team/name":"x"},"networkPolicy":{}"#)
        #expect(request.timeout == nil && request.environment == ["A": "1"] && request.metadata == ["team/name": "x"])
        #expect(request.absentVariables == ["B"])
        #expect(request.policy == .denyAll)
    }

    @Test func `labels have what never changes of a request, and no end that may be moved`() throws {
        let (own, extensions) = (Platform.own, "opensandbox.extensions")
        let kept = try request(
            #""timeout":null,"metadata":{"team":"x"},"platform":{"os":"\#(own.os)","arch":"\#(own.arch)"},"#
                + #""extensions":{"\#(extensions).a":"one, two","\#(extensions).b c":"x","other":"y","#
                + #""access.renew.extend.seconds":"300"}"#)
        #expect(
            SandboxLabels(kept, owner: "us", id: "a").all == [
                "opensandbox.io/id": "a", "opensandbox.io/owner": "us", "team": "x",
                "opensandbox.io/manual-cleanup": "true", "opensandbox.io/platform-os": own.os,
                "opensandbox.io/platform-arch": own.arch, "opensandbox.io/access-renew-extend-seconds": "300",
                "opensandbox.io/extensions.a": "one, two",
            ])
        let long = String(repeating: "x", count: 8193)
        let brief = try request(#""timeout":600,"extensions":{"\#(extensions).a":"\#(long)"}"#)
        #expect(SandboxLabels(brief, owner: "us", id: "a").facts.isEmpty)
    }

    @Test(arguments: [
        ("python app.py", ["python", "app.py"]), ("  a\tb \n", ["a", "b"]),
        (#"sh -c 'echo "a b"'"#, ["sh", "-c", #"echo "a b""#]),
        (#"a "b\"c\d\\" '' e\ f"#, ["a", #"b"c\d\"#, "", "e f"]), (#"x'y'"z" 'é ü'"#, ["xyz", "é ü"]),
    ]) func `an entrypoint of one text is split as a shell splits it`(_ text: String, _ words: [String]) throws {
        let sent = String(decoding: JSONValue.array([.string(text)]).encoded, as: UTF8.self)
        let request = try request(#""entrypoint":\#(sent)"#)
        #expect(request.entrypoint == words && request.sentEntrypoint == [text])
    }

    @Test func `one word, and words in a list, stay what they are`() throws {
        for sent in [#"["it's"]"#, #"["a b","c"]"#] {
            let request = try request(#""entrypoint":\#(sent)"#)
            #expect(JSONValue.array(request.entrypoint.map { .string($0) }) == (try JSONValue(Array(sent.utf8))))
            #expect(request.sentEntrypoint == nil)
        }
    }

    @Test func `the words of a text have to fit where a process gets them`() throws {
        let text = String(repeating: "a ", count: 60_000)
        #expect(try request(#""entrypoint":["\#(text)"]"#).entrypoint.count == 60_000)
        let variables = (0..<4).map { #""V\#($0)":"\#(text)""# }.joined(separator: ",")
        let word = String(repeating: "aa", count: 60_000)
        #expect(try request(#""entrypoint":["\#(word)"],"env":{\#(variables)}"#).sentEntrypoint == nil)
        #expect(throws: APIError.self) { try request(#""entrypoint":["\#(text)"],"env":{\#(variables)}"#) }
    }

    @Test(arguments: ["a 'b", #"a "b"#, #"a b\"#, "   ", "'' a"])
    func `what a shell cannot split is refused`(_ text: String) {
        let sent = String(decoding: JSONValue.array([.string(text)]).encoded, as: UTF8.self)
        #expect(throws: APIError.self) { try request(#""entrypoint":\#(sent)"#) }
    }

    @Test(arguments: [
        (#""image":{"uri":"  "}"#, "body.image.uri"), (#""image":{}"#, "body.image.uri"),
        (#""image":"x""#, "body.image"),
        (#""image":null"#, "body.image"), (#""image":{"uri":"x","auth":{"username":"u"}}"#, "body.image.auth"),
        (#""entrypoint":[]"#, "body.entrypoint"), (#""entrypoint":"sleep""#, "body.entrypoint"),
        (#""entrypoint":[1]"#, "body.entrypoint.0"), (#""timeout":59"#, "body.timeout"),
        (#""timeout":"60""#, "body.timeout"), (#""timeout":60.5"#, "body.timeout"),
        (#""timeout":1e300"#, "body.timeout"), (#""timeout":315360001"#, "body.timeout"),
        (#""timeout":1000000000000"#, "body.timeout"), (#""timeout":1000000000000000000"#, "body.timeout"),
        (#""timeout":9223372036854775807"#, "body.timeout"), (#""timeout":9223372036854775808"#, "body.timeout"),
        (#""timeout":-9223372036854775808"#, "body.timeout"), (#""snapshotId":5"#, "body.snapshotId"),
        (#""env":{"OPENSANDBOX_LIFECYCLE":"x"}"#, "body.env"), (#""env":{"A":1}"#, "body.env.A"),
        (#""env":[]"#, "body.env"),
        (#""credentialProxy":{"enabled":true}"#, "body.credentialProxy"), (#""secureAccess":1"#, "body.secureAccess"),
        (#""platform":{"os":"linux"}"#, "body.platform.arch"),
        (#""snapshotId":"s","image":{"uri":"x"}"#, "body"),
    ]) func `what the schema refuses is 422 and names the field`(_ change: String, _ field: String) throws {
        let error = try refusal(change)
        #expect(error.status == .unprocessableEntity, "\(error)")
        #expect(error.detail?.map { $0.loc.joined(separator: ".") }.contains(field) == true, "\(error)")
    }

    @Test(arguments: ["image", "entrypoint", "resourceLimits"]) func `a missing field is 422`(_ name: String) throws {
        #expect(try refusal("", without: name).status == .unprocessableEntity)
    }

    @Test(arguments: [
        (#""metadata":{"opensandbox.io/x":"y"}"#, "SANDBOX::INVALID_METADATA_LABEL"),
        (#""metadata":{"-x":"y"}"#, "SANDBOX::INVALID_METADATA_LABEL"),
        (#""metadata":{"x":"a b"}"#, "SANDBOX::INVALID_METADATA_LABEL"),
        (#""timeout":80001"#, "SANDBOX::INVALID_PARAMETER"),
        (#""platform":{"os":"plan9","arch":"amd64"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""platform":{"os":"windows","arch":"amd64"}"#, "SANDBOX::INVALID_PARAMETER"),
        // A known one that this machine is not.
        (
            #""platform":{"os":"linux","arch":"\#(Platform.own.arch == "amd64" ? "arm64" : "amd64")"}"#,
            "SANDBOX::INVALID_PARAMETER"
        ),
        (#""env":{"OPENSANDBOX_EGRESS_MODE":"x"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""env":{"A=B":"x"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""extensions":{"access.renew.extend.seconds":"299"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""lifecycle":{"preStart":{"command":["x"]}}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""volumes":[{"name":"v","mountPath":"/","host":{"path":"/y"}}]"#, "VOLUME::INVALID_MOUNT_PATH"),
        (#""networkPolicy":{"defaultAction":"maybe"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""networkPolicy":{"egress":[{"action":"allow","target":"http://x"}]}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"cpu":"lots"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"cpu":"0"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"memory":"-1Gi"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"memory":"1Mi"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"pids":"2"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"disk":"1Mi"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"disk":"5Ti"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"ephemeral-storage":"much"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"disk":"1Gi","ephemeral-storage":"2Gi"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceLimits":{"pids":"99999999999999999999"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""credentialProxy":{"enabled":true},"networkPolicy":{}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""resourceRequests":{"cpu":"1"}"#, "SANDBOX::INVALID_PARAMETER"),
        (#""extensions":{"access.renew.extend.seconds":"86400"}"#, "SANDBOX::INVALID_PARAMETER"),
    ]) func `what the rules refuse is 400 with a code`(_ change: String, _ code: String) throws {
        let error = try refusal(change)
        #expect(error.status == .badRequest && error.code == code, "\(error)")
    }

    @Test(arguments: [
        #"{"disk":"64Mi"}"#, #"{"ephemeral-storage":"64Mi"}"#, #"{"disk":"64Mi","ephemeral-storage":"67108864"}"#,
    ]) func `a disk limit is read by our name for it and by Kubernetes'`(_ limits: String) throws {
        #expect(try request(#""resourceLimits":\#(limits)"#).limits.diskBytes == 64 << 20)
    }

    @Test(arguments: ["env: A", "entrypoint", "together", "extensions", "metadata"])
    func `what is too large to be passed on or shown is 400 before anything is made`(_ place: String) throws {
        func text(_ count: Int) -> String { "\"" + String(repeating: "x", count: count) + "\"" }
        func fields(_ count: Int, _ value: String) -> String {
            "{" + (0..<count).map { "\"key-\($0)\":\(value)" }.joined(separator: ",") + "}"
        }
        let changes = [
            "env: A": #""env":{"A":\#(text(131_070))}"#, "entrypoint": #""entrypoint":["sleep",\#(text(131_072))]"#,
            "together": #""env":\#(fields(10, text(110_000)))"#, "extensions": #""extensions":{"x":\#(text(262_144))}"#,
            "metadata": #""metadata":\#(fields(30_000, text(1)))"#,
        ]
        let error = try refusal(try #require(changes[place]))
        #expect(error.status == .badRequest && error.message.contains(place) && error.message.utf8.count < 300)
    }

    @Test func `what a process can just be passed is taken`() throws {
        let text = String(repeating: "x", count: 131_069)
        #expect(ProcessTexts.problem(entrypoint: ["a", text + "xx"], environment: ["A": text]) == nil)
    }

    @Test(arguments: ["gpu", "nvidia.com/gpu", "CPU", "memroy", "hugepages-2Mi", ""])
    func `a limit that would not hold is refused by its name`(_ key: String) throws {
        let error = try refusal(#""resourceLimits":{"cpu":"1","\#(key)":"1"}"#)
        #expect(error.status == .badRequest && error.code == "SANDBOX::INVALID_PARAMETER")
        #expect(error.message.hasPrefix("resourceLimits.\(key) is not supported"), "\(error)")
    }

    @Test func `graphics processors are a limit where a runtime has them`() throws {
        func gpus(_ text: String) throws(APIError) -> Int? {
            try ResourceLimits(resources: ["gpu": text], hasGPUs: true).gpus
        }
        #expect(try gpus("2") == 2 && gpus("all") == ResourceLimits.allGPUs)
        for text in ["0", "-1", "1.5", "", "ALL", "1025", "99999999999999999999"] {
            let error = try #require(throws: APIError.self) { _ = try gpus(text) }
            #expect(error.status == .badRequest && error.message.hasPrefix("resourceLimits.gpu"))
        }
    }

    @Test
    func `what is published of every sandbox is added to what one asks for, and is not for who needs a credential`()
        throws
    {
        var limits = RequestLimits()
        limits.capabilities.publishedPorts = true
        limits.published = [44772, 8080]
        func ports(_ more: String) throws -> [UInt16]? {
            let body = #"{"image":{"uri":"a"},"entrypoint":["a"],"resourceLimits":{}\#(more)}"#
            return try CreateRequest(JSONValue(Array(body.utf8)), limits: limits).ports?.ports
        }
        #expect(try ports("") == [44772, 8080])
        #expect(try ports(#","extensions":{"ports.publish":"8080,9000"}"#) == [8080, 9000, 44772])
        #expect(try ports(#","secureAccess":true"#) == nil)
    }

    @Test func `what a request does not limit has the documented limit`() throws {
        #expect(try request(#""resourceLimits":{}"#).limits == ResourceLimits(cpuMillis: 1000, memoryBytes: 2 << 30))
        let some = try request(#""resourceLimits":{"memory":"64Mi","gpu":null}"#).limits
        #expect(some == ResourceLimits(cpuMillis: 1000, memoryBytes: 64 << 20, processes: 4096))
    }

    @Test(arguments: [
        (#""secureaccess":true"#, "body.secureaccess", "secureAccess"),
        (#""secure_access":true"#, "body.secure_access", "secureAccess"),
        (#""envs":{"A":"1"}"#, "body.envs", "env"), (#""time-out":60"#, "body.time-out", "timeout"),
        (#""networkPolicys":{}"#, "body.networkPolicys", "networkPolicy"),
        (#""image":{"uri":"x","Auth":{}}"#, "body.image.Auth", "auth"),
        (#""platform":{"os":"linux","arch":"amd64","arhc":"x"}"#, "body.platform.arhc", "arch"),
        (#""extensions":{"poolref":"p"}"#, "body.extensions.poolref", "poolRef"),
        (
            #""extensions":{"access_renew_extend_seconds":"300"}"#, "body.extensions.access_renew_extend_seconds",
            "access.renew.extend.seconds"
        ),
    ]) func `a field that is a known one misspelt is refused with the one that was meant`(
        _ change: String, _ place: String, _ meant: String
    ) throws {
        let error = try refusal(change)
        #expect(error.status == .unprocessableEntity, "\(error)")
        let problem = error.detail?.first { $0.loc.joined(separator: ".") == place }
        #expect(problem?.msg == "Unknown field; did you mean \(meant)?", "\(error)")
    }

    @Test func `nothing that asks for nothing is refused, and names that nobody knows are passed over`() throws {
        let request = try request(
            #""credentialProxy":{"enabled":false},"resourceRequests":{},"volumes":[],"lifecycle":null,"templateId":null,"#
                + #""unheardOf":{"a":[1]},"image":{"uri":"x","pullPolicy":"Always"},"extensions":{"storage.id":"7"},"#
                + #""platform":{"os":" Linux","arch":"\#(Platform.own.arch.uppercased())"}"#)
        #expect(request.image == "x" && request.extensions == ["storage.id": "7"] && request.platform == .own)
    }

    @Test func `every problem is reported at once, and a password never`() throws {
        let error = try refusal(
            #""image":{"uri":" ","auth":{"username":"u","password":"tops3cret"}},"timeout":1,"entrypoint":[]"#)
        #expect(error.detail?.count == 3 && !"\(error)".contains("tops3cret"), "\(error)")
        let accepted = try request(#""image":{"uri":"x","auth":{"username":"u","password":"tops3cret"}}"#)
        #expect(accepted.credentials?.password == "tops3cret")
        var text = "\(accepted)"
        dump(accepted, to: &text)
        #expect(!text.contains("tops3cret"))
    }

    @Test(arguments: ["1", "[]", "null", "\"x\""]) func `what is no object is 422`(_ text: String) throws {
        let value = try JSONValue(text.utf8)
        let error = try #require(throws: APIError.self) { _ = try CreateRequest(value, limits: RequestLimits()) }
        #expect(error.status == .unprocessableEntity)
    }

    @Test func `random bodies never crash it`() throws {
        var random = SystemRandomNumberGenerator()
        let pieces = [
            "{", "}", "[", "]", ":", ",", "\"image\"", "\"uri\"", "\"timeout\"", "1e999", "-1", "null", "true", "\"a\"",
            "\"env\"", "\"networkPolicy\"", "\"egress\"", "\"resourceLimits\"", "9223372036854775808", "\"\\ud800\"",
        ]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 1..<14, using: &random)).map { _ in pieces.randomElement(using: &random)! }
            guard let value = try? JSONValue(text.joined().utf8) else { continue }
            _ = try? CreateRequest(value, limits: RequestLimits())
        }
    }
}
