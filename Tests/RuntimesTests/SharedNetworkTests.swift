import Glibc
import Spelling
import Testing

@testable import Runtimes

@Suite struct SharedNetworkTests {
    @Test func `an image's Jupyter server gets a port and a token of its own, one elsewhere is left alone`() {
        let shared = SharedNetwork(execd: 40001, code: 40002)
        #expect(shared.environment(["A": "b"]) == ["A": "b", "JUPYTER_PORT": "40002"])
        let image: [ExactName: String] = [
            "JUPYTER_HOST": "http://127.0.0.1:44771", "JUPYTER_PORT": "44771", "JUPYTER_TOKEN": "known",
        ]
        let first = shared.environment(image), second = shared.environment(image)
        #expect(first["JUPYTER_HOST"] == "http://127.0.0.1:40002" && first["JUPYTER_PORT"] == "40002")
        #expect(first["JUPYTER_TOKEN"] != "known" && first["JUPYTER_TOKEN"] != second["JUPYTER_TOKEN"])
        let elsewhere: [ExactName: String] = ["JUPYTER_HOST": "http://jupyter.example:80"]
        #expect(shared.environment(elsewhere) == elsewhere)
        #expect(shared.services == [44772: 40001, 44771: 40002])
    }

    @Test func `a port is nobody else's from the lease to the release, whether or not anything listens`() throws {
        let listeners = SharedListeners()
        let first = try listeners.lease("a"), second = try listeners.lease("b")
        #expect(Set([first.execd, first.code, second.execd, second.code]).count == 4)
        #expect(!SharedListeners().takeBack("c", first, from: nil), "it is taken")
        let descriptor = try #require(listeners.descriptor(of: "a"))
        #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0, "no other program gets it")
        listeners.release("a")
        let later = SharedListeners()
        #expect(later.takeBack("a", first, from: nil) && listeners.descriptor(of: "a") == nil)
        later.release("a")
        listeners.release("b")
    }
}
