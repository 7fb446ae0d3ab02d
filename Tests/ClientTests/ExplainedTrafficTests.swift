import JSON
import Testing

@testable import Client

@Suite struct ExplainedTrafficTests {
    private func passes(_ json: String) throws -> Bool { ExplainedTraffic.passes(try JSONValue(Array(json.utf8))) }

    @Test(arguments: [
        #"{"step":"answer","verdict":"deny","text":"its addresses were taken out"}"#,
        #"{"step":"budget","verdict":"deny","text":"used up in the last minute: queries"}"#,
        #"{"step":"check","verdict":"deny","text":"UDP states no name"}"#,
    ])
    func `what the policy allows does not pass where a step of its path denies, unless nothing is enforced`(
        _ step: String
    ) throws {
        let way = #""path":[{"step":"name","verdict":"allow","text":"asked"},\#(step)]"#
        #expect(try !passes(#"{"verdict":"allow","enforced":true,\#(way)}"#))
        #expect(try passes(#"{"verdict":"allow","enforced":false,\#(way)}"#))
    }

    @Test func `the policy's verdict decides where no step does`() throws {
        let way = #""enforced":true,"path":[{"step":"aliases","text":"none"},{"step":"budget","text":"none"}]"#
        #expect(try passes(#"{"verdict":"allow",\#(way)}"#))
        #expect(try !passes(#"{"verdict":"deny",\#(way)}"#))
        #expect(try !passes(#"{"verdict":"deny","enforced":false}"#))
        #expect(try passes(#"{"verdict":"allow"}"#) && !passes("{}") && !passes("null"))
    }
}
