import Testing

@testable import Runtimes

@Suite struct AbandonedFetchesTests {
    private func fetch(_ image: Int, of caller: String? = "a") -> AbandonedFetches.Fetch {
        AbandonedFetches.Fetch(caller: caller, image: "image-\(image)")
    }

    @Test func `a key that leaves fetches behind begins no more of them until one has ended, and others do`() {
        let fetches = AbandonedFetches(), most = AbandonedFetches.most
        for image in 0..<most * 2 { #expect(fetches.begin(fetch(image))) }
        #expect(fetches.begin(fetch(100)), "those that are waited for are bounded elsewhere")
        for image in 0..<most { fetches.leave(fetch(image)) }
        #expect(!fetches.begin(fetch(101)))
        #expect(fetches.begin(fetch(101, of: "b")) && fetches.begin(fetch(101, of: nil)))
        #expect(fetches.begin(fetch(0)), "one that is under way is joined, and is not left behind any more")
        #expect(fetches.begin(fetch(101)))
        fetches.leave(fetch(0))
        #expect(!fetches.begin(fetch(102)))
        fetches.end(fetch(1))
        #expect(fetches.begin(fetch(102)))
    }

    @Test func `a fetch is one until the last has let go of it`() throws {
        let fetches = AbandonedFetches()
        var runs = try (0..<AbandonedFetches.most).map { image throws in try fetches.enter(fetch(image)) }
        for image in runs.indices { fetches.leave(fetch(image)) }
        #expect(throws: RuntimeError.self) { try fetches.enter(fetch(100)) }
        runs.removeLast()
        _ = try fetches.enter(fetch(100))
        withExtendedLifetime(runs) {}
    }

    @Test func `many creates of one image leave one fetch behind, and one that has ended is left by nobody`() {
        let fetches = AbandonedFetches()
        for _ in 0..<AbandonedFetches.most * 2 { #expect(fetches.begin(fetch(0))) }
        for _ in 0..<AbandonedFetches.most * 2 { fetches.leave(fetch(0)) }
        for image in 1..<AbandonedFetches.most {
            #expect(fetches.begin(fetch(image)))
            fetches.end(fetch(image))
            fetches.leave(fetch(image))
        }
        #expect(fetches.begin(fetch(50)), "one of four is left behind")
        for _ in 0..<AbandonedFetches.most * 2 { fetches.end(fetch(0)) }
        fetches.end(fetch(0))
        #expect(fetches.begin(fetch(0)))
    }
}
