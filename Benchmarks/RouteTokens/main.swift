// What a route token adds to a request: reading it, verifying a new one, and one that has been seen.
// swift run -c release benchmark-tokens

import SecureAccess

let keys = try KeyRing(active: "a", keys: ["a": SecureRandom.bytes(32)])
let live = LiveKeys(keys)
let epoch = AccessEpoch(birth: 1_790_000_000_000_000)
let count = 200_000

func sandbox(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    return "a1b2c3d4-5678-90ab-cdef-" + String(repeating: "0", count: 12 - digits.count) + digits
}

/// The best of five, in nanoseconds for each of `count`.
func measure(_ name: String, _ body: (Int) -> Void) {
    let clock = ContinuousClock()
    let best = (0..<5).map { _ in clock.measure { for number in 0..<count { body(number) } } }.min()!
    print("\(name)\t\(Int(best / .nanoseconds(1)) / count) ns")
}

func two(_ number: Int, _ form: RouteToken.Form) -> RouteToken {
    .mint(sandbox: sandbox(number), port: 8080, expires: 4_000_000_000, epoch: epoch, form: form, keys: keys)
}

let new = (0..<count).map { two($0, .long) }
let texts = new.map(\.text)
let seen = (0..<1000).map { two($0, .long) }
let ones = (0..<count).map { RouteToken.mint(sandbox: sandbox($0), port: 8080, expires: 4_000_000_000, keys: keys) }
var verified = VerifiedTokens(keys: live)
for token in seen { try verified.verify(token, now: 0, epoch: epoch) }

measure("read") { _ = try? RouteToken(texts[$0], in: .long) }
measure("verify, seen") { try! verified.verify(seen[$0 % 1000], now: 0, epoch: epoch) }
measure("verify, new, version 1") { try! ones[$0].verify(now: 0, epoch: epoch, keys: keys) }
measure("verify, new, version 2") { try! new[$0].verify(now: 0, epoch: epoch, keys: keys) }
measure("verify, new and remembered") { try! verified.verify(new[$0], now: 0, epoch: epoch) }
