import JSON
import NetworkPolicy
import Spelling
import Testing

@testable import Runtimes

@Suite struct SidecarBodyTests {
    private func body(labels: [ExactName: String]?) -> SidecarBody {
        SidecarBody(
            id: "one", owner: "me",
            image: EngineImage(
                id: "sha256:1", system: "linux", architecture: "amd64",
                configuration: .init(user: nil, environment: nil, labels: labels, volumes: nil)),
            network: "abc", variables: ["OPENSANDBOX_EGRESS_MODE": "dns+nft"], policy: .denyAll, token: "the-secret")
    }

    private func environment(_ body: SidecarBody) -> Set<String> {
        guard case .array(let words)? = body.json["Env"] else { return [] }
        return Set(words.compactMap { if case .string(let text) = $0 { text } else { nil } })
    }

    @Test func `a guard whose image says that it reads a file is told its token in none of what the engine shows`() {
        let body = body(labels: ["sallyport.io/token-file": "true"])
        let text = String(decoding: body.json.encoded, as: UTF8.self)
        #expect(!text.contains("the-secret"))
        #expect(environment(body).contains("OPENSANDBOX_EGRESS_TOKEN_FILE=/var/egress/state/token"))
        var files = StagedArchive()
        files.add(file: "token", mode: 0o400, Array("the-secret".utf8))
        files.add(file: "policy.json", mode: 0o600, Policy.denyAll.encodedJSON(.plain))
        #expect(body.files == files)
    }

    @Test func `a successor takes the policy of the guard before it, and refuses everything where there is none`() {
        var body = body(labels: ["sallyport.io/token-file": "true"])
        body.policy = nil
        var files = StagedArchive()
        files.add(file: "token", mode: 0o400, Array("the-secret".utf8))
        #expect(body.files == files)
        let rules = String(decoding: Policy.denyAll.encodedJSON(.plain), as: UTF8.self)
        #expect(environment(body).contains("OPENSANDBOX_EGRESS_RULES=" + rules))
    }

    @Test(arguments: [nil, [:], ["sallyport.io/token-file": "false"]] as [[ExactName: String]?])
    func `another one, as the reference's is, is told it by the variable of the contract`(labels: [ExactName: String]?)
    {
        let body = body(labels: labels)
        #expect(body.files == nil)
        #expect(environment(body).contains("OPENSANDBOX_EGRESS_TOKEN=the-secret"))
        #expect(!environment(body).contains { $0.hasPrefix("OPENSANDBOX_EGRESS_TOKEN_FILE") })
    }

    @Test func `a guard that gets the operator's lists is told that they have to be there`() {
        let told = "OPENSANDBOX_EGRESS_RULES_DIR=/var/egress/rules"
        var body = body(labels: nil)
        #expect(!environment(body).contains(told))
        body.rulesFolder = "/etc/sallyport/rules"
        #expect(environment(body).contains(told))
    }
}
