import HTTPServer
import JSON
import NIOHTTP1
import Runtimes
import Synchronization
import Testing

@testable import ControlPlane

/// `/v1/images`: who sees, fetches and removes what sandboxes are made of.
@Suite struct ImageAPITests {
    private let images = [
        KeptImage(reference: "a", digest: "sha256:a", access: .open, isUsed: true),
        KeptImage(reference: "b", digest: "sha256:b", access: .open, isUsed: false),
        KeptImage(reference: "c", digest: "sha256:c", access: .restricted, isUsed: false),
        KeptImage(reference: "d", digest: "", access: .local, isUsed: false),
    ]

    private func listed(_ answer: (status: Int, json: JSONValue?, text: String)) -> [String] {
        guard case .array(let items)? = answer.json?["items"] else { return ["no list"] }
        return items.map { if case .string(let uri)? = $0["uri"] { uri } else { "" } }
    }

    @Test func `private images are seen by administrators alone`() async throws {
        var keys = APIKeys.none
        let (reader, user) = (try keys.create("r", .read), try keys.create("u", .operate))
        let house = try House(keys: keys)
        house.runtime.state.withLock { $0.kept = images }
        #expect(listed(await house.send(.GET, "/v1/images")) == ["a", "b", "c", "d"])
        for key in [reader, user] {
            let answer = await house.send(.GET, "/v1/images", key: key)
            #expect(listed(answer) == ["a", "b", "d"])
            #expect(answer.text.contains("inUse") == (key == reader), "an operator's key is not told of others' use")
        }
    }

    @Test func `what is in use, and what the operator has made, stays`() async throws {
        let house = try House()
        house.runtime.state.withLock { $0.kept = images }
        for (name, status, code) in [
            ("a", 409, "IMAGE::IN_USE"), ("d", 409, "IMAGE::LOCAL"), ("x", 404, "IMAGE::NOT_FOUND"),
        ] {
            let answer = await house.send(.DELETE, "/v1/images?uri=\(name)")
            #expect(answer.status == status && answer.json?["code"] == .string(code), "\(name): \(answer.text)")
        }
        #expect(await house.send(.DELETE, "/v1/images").status == 422)
        #expect(await house.send(.DELETE, "/v1/images?url=b").status == 422, "a misspelt name is not passed over")
        #expect(listed(await house.send(.POST, "/v1/images/prune")) == ["b", "c"])
        #expect(listed(await house.send(.GET, "/v1/images")) == ["a", "d"])
    }

    @Test func `a pull is its key's, and who asks again waits for the same one`() async throws {
        var keys = APIKeys.none
        let (user, other) = (try keys.create("u", .operate), try keys.create("o", .operate))
        let house = try House(patience: .milliseconds(20), keys: keys)
        house.runtime.pull.close()
        let body = #"{"image":{"uri":"known"}}"#
        for key in [user, user, other] {
            let answer = await house.send(.POST, "/v1/images", body, key: key)
            #expect(answer.status == 202 && answer.json?["state"] == .string("Pulling"))
        }
        #expect(house.service.queue.counts.running == 2, "one of each key")
        house.runtime.pull.open()
        var answer = await house.send(.POST, "/v1/images", body, key: user)
        while answer.status == 202 { answer = await house.send(.POST, "/v1/images", body, key: user) }
        #expect(answer.status == 200 && answer.json?["access"] == .string("open"))
    }

    @Test func `a pull with a password makes a private image, and wrong ones are told`() async throws {
        let house = try House()
        let auth = #"{"image":{"uri":"known","auth":{"username":"u","password":"secret-word"}}}"#
        #expect(await house.send(.POST, "/v1/images", auth).json?["access"] == .string("private"))
        let unknown = await house.send(.POST, "/v1/images", #"{"image":{"uri":"none"}}"#)
        #expect(unknown.status == 400 && unknown.json?["code"] == .string("DOCKER::SANDBOX_IMAGE_PULL_FAILED"))
        for body in [
            "{}", #"{"image":"known"}"#, #"{"image":{}}"#, #"{"image":{"uri":" "}}"#, #"{"imag":{"uri":"known"}}"#,
            #"{"image":{"uri":"known","auth":{"username":"u"}}}"#,
        ] {
            #expect(await house.send(.POST, "/v1/images", body).status == 422, "\(body)")
        }
    }

    @Test func `a runtime without images of its own says so, with a code`() async throws {
        let house = try await PodHouse()
        for (method, path) in [
            (HTTPMethod.GET, "/v1/images"), (.DELETE, "/v1/images?uri=a"), (.POST, "/v1/images/prune"),
        ] {
            let answer = await house.send(method, path)
            #expect(answer.status == 501 && answer.json?["code"] == .string("IMAGE::UNSUPPORTED_RUNTIME"), "\(path)")
        }
        #expect(await house.send(.POST, "/v1/images", #"{"image":{"uri":"a"}}"#).status == 501)
    }
}
