import JSON
import Testing

@testable import Client

@Suite struct EffectivePolicyTextTests {
    private func lines(_ json: String) throws -> [String] { EffectivePolicyText.lines(try JSONValue(Array(json.utf8))) }

    @Test func `layers stand in their order, each with its rules`() throws {
        let answer = #"""
            {"enforced":true,"enforcementMode":"dns+nft","staleLists":true,"layers":[
             {"layer":"deny.always","from":"operator","enforced":true,"text":"denied","rules":[
              {"action":"deny","target":"*","ports":[25,"6660-6669"],"protocol":"tcp"}]},
             {"layer":"policy","from":"client","enforced":false,"text":"as it is","rules":[{"action":"allow","target":"a.example:443"}]},
             {"layer":"default","from":"client","enforced":true,"text":"else","action":"deny"},
             {"layer":"budgets","from":"operator","enforced":true,"text":"use","budgets":{"bytes_out":7}}]}
            """#
        #expect(
            try lines(answer) == [
                "the operator's lists have a mistake, so the previous ones stay in force: the guard's log says where it is",
                "deny.always (operator): denied", "  deny * ports 25,6660-6669 tcp",
                "policy (client, not enforced): as it is", "  allow a.example:443", "default (client): else",
                "  deny everything", "budgets (operator): use", "  bytes_out 7",
            ])
    }

    @Test(arguments: ["null", "{}", #"{"layers":7}"#, #"{"layers":[7,{"layer":1}]}"#])
    func `an answer that says nothing is no line`(_ json: String) throws {
        #expect(try lines(json).isEmpty)
    }

    @Test func `what others wrote misleads no terminal`() throws {
        let answer = #"{"enforced":false,"layers":[{"layer":"policy","from":"client","text":"\u001b[2J"}]}"#
        #expect(
            try lines(answer) == [
                "observed: nothing of the policy is enforced", #"policy (client): \u{1b}[2J"#,
            ])
    }
}
