import JSON
import Testing

@testable import Runtimes

@Suite struct CommittedImageTests {
    private func committed(_ image: String, labels: [String] = []) throws -> JSONValue {
        CommittedImage(of: try JSONValue(Array(image.utf8)), labels: labels, owner: "me").json
    }

    @Test func `a snapshot has what its image said of its program`() throws {
        let json = try committed(
            #"{"Config":{"User":"node","Entrypoint":["/run"],"Cmd":["a"],"Healthcheck":{"Test":["CMD","x"]}}}"#)
        #expect(json["User"] == .string("node") && json["Entrypoint"] == .array([.string("/run")]))
        #expect(json["Cmd"] == .array([.string("a")]) && json["Healthcheck"]?["Test"] != nil)
    }

    @Test func `an image that says nothing has no program, rather than execd`() throws {
        for image in [#"{"Config":{"Entrypoint":null,"Cmd":null,"Healthcheck":null}}"#, #"{"Config":null}"#, "{}"] {
            let json = try committed(image)
            #expect(json["Entrypoint"] == .array([]) && json["Cmd"] == .array([]) && json["Healthcheck"] == nil)
        }
    }

    @Test func `labels by which a sandbox is known are not an image's`() throws {
        let labels = try committed(
            #"{"Config":{"Labels":{"maintainer":"them","opensandbox.io/id":"forged"}}}"#,
            labels: ["maintainer", "opensandbox.io/owner", "sallyport.io/part", "team"])["Labels"]
        #expect(labels?["maintainer"] == .string("them"))
        for name in ["opensandbox.io/owner", "sallyport.io/part", "team"] { #expect(labels?[name] == .string("")) }
        #expect(labels?["sallyport.io/snapshot-owner"] == .string("me"))
    }
}
