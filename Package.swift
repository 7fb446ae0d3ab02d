// swift-tools-version: 6.2
import PackageDescription

// Dependencies point one way: NetworkPolicy <- DNSFilter, Netfilter <- Egress; SecureAccess <- Ingress;
// everything <- ControlPlane. Nothing points back; see ARCHITECTURE.md.

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// Every warning of ours is an error where this is set (`make lint`).
let warnings: [SwiftSetting] = Context.environment["SALLYPORT_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)]

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + warnings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.byName(name: name)] + dependencies, exclude: exclude,
        swiftSettings: strict + warnings)
}

/// The fuzzers' program where this is set (`make fuzz`), otherwise the test that replays what they kept.
let fuzzed: [Target.Dependency] = [
    "Addresses", "JSON", "Spelling", "DNSFilter", "FlowCheck", "Netfilter", "NetworkPolicy", "Egress", "Ingress",
    "SecureAccess", "HTTPWire",
    "HTTPServer", "Execd", "HTTPClient", "Runtimes", "System", "ControlPlane", "Tracing",
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOHPACK", package: "swift-nio-http2"), .product(name: "NIOWebSocket", package: "swift-nio"),
]
let fuzzers: Target =
    Context.environment["SALLYPORT_FUZZ"] == nil
    ? .testTarget(
        name: "FuzzTests", dependencies: fuzzed, exclude: ["FuzzMain.swift", "Corpus"],
        swiftSettings: strict + warnings)
    : .executableTarget(
        name: "fuzz", dependencies: fuzzed, path: "Tests/FuzzTests", exclude: ["CorpusTests.swift", "Corpus"],
        swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])])

func linked(_ compiler: [String] = [], _ linker: [String]) -> [LinkerSetting] {
    [.unsafeFlags(compiler + linker.flatMap { ["-Xlinker", $0] }, .when(configuration: .release))]
}

/// execd is static, since it is put into images with no library to rely on. Tables for unwinding the stack are left out, 3 MB:
/// nothing in it throws as C++ does, no thread is cancelled, and Swift's backtraces go by frame pointers. Functions of the same code are
/// one (--icf=all, 130 KB): nothing in it compares functions. SwiftNIO's channels for tests, which its module NIO brings along, are taken
/// for empty files (120 KB): the linker keeps the types of each file it is given. What else is not used is dropped by what
/// the Makefile tells the compiler.
let alone = linked(
    ["-static-executable", "-use-ld=lld"],
    [
        "-s", "-O2", "--icf=all", "--no-eh-frame-hdr", "--remap-inputs=*/NIOEmbedded.build/*=/dev/null",
        "-T\(Context.packageDirectory)/scripts/execd.ld",
    ])

/// The guard beside a sandbox starts in milliseconds and shares nothing by writing: most libraries are inside
/// (scripts/static-libraries.sh), and nothing is exported. What little the dynamic linker has to find it finds at once (-z now), and
/// then closes its tables.
let startsAtOnce = linked(["-L\(Context.packageDirectory)/.build-libraries"], ["--no-export-dynamic", "-z", "now"])

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]
let http2: [Target.Dependency] = [
    .product(name: "NIOTLS", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
    .product(name: "NIOHTTP2", package: "swift-nio-http2"),
    .product(name: "NIOHPACK", package: "swift-nio-http2"),
]
let webSocket: Target.Dependency = .product(name: "NIOWebSocket", package: "swift-nio")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")

/// What `make bench` runs. What people install is built without.
let benchmarks: [Target] =
    Context.environment["SALLYPORT_PROGRAMS"] != nil
    ? []
    : [
        .executableTarget(
            name: "benchmark-create",
            dependencies: [
                "Addresses", "Egress", "DNSFilter", "Netfilter", "NetworkPolicy", "Runtimes", "TestSupport", logging,
            ],
            path: "Benchmarks/CreateSandbox", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-patch",
            dependencies: ["Addresses", "NetworkPolicy", "Netfilter", "DNSFilter", "Egress", logging],
            path: "Benchmarks/PolicyPatch", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-dns",
            dependencies: ["Addresses", "NetworkPolicy", "Netfilter", "DNSFilter", "Egress", logging],
            path: "Benchmarks/DNS/Guard", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-scale",
            dependencies: ["Addresses", "NetworkPolicy", "Netfilter", "DNSFilter", "Egress", logging],
            path: "Benchmarks/GuardedNamespaces", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-names",
            dependencies: ["Addresses", "Egress", "DNSFilter", "Netfilter", "NetworkPolicy", "TestSupport", logging],
            path: "Benchmarks/NamesUnderChange", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-flow",
            dependencies: [
                "Addresses", "Egress", "DNSFilter", "FlowCheck", "Netfilter", "NetworkPolicy", "TestSupport", logging,
            ],
            path: "Benchmarks/CheckedFlow", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-first-connection",
            dependencies: ["Addresses", "Egress", "DNSFilter", "Netfilter", "NetworkPolicy", "TestSupport", logging],
            path: "Benchmarks/FirstConnection", swiftSettings: strict + warnings),
        .executableTarget(
            name: "benchmark-tokens", dependencies: ["SecureAccess"], path: "Benchmarks/RouteTokens",
            swiftSettings: strict + warnings),
    ]

let package = Package(
    name: "sallyport",
    products: [
        .executable(name: "sallyport", targets: ["sallyport"]),
        .executable(name: "execd", targets: ["ExecdProgram"]),
        .executable(name: "sallyport-egress", targets: ["sallyport-egress"]),
        .executable(name: "sallyport-ingress", targets: ["sallyport-ingress"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.7.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/LebJe/TOMLKit.git", from: "0.6.0"),
    ],
    targets: [
        // System libraries, and the two C targets. A package description would name the folder of the shared ones before ours.
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "CCurl", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(name: "CMnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(name: "CNftnl", providers: [.apt(["libnftnl-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),

        // The plane.
        library("Addresses", []),
        library("System", ["Addresses", "CLinux"]),
        library("Spelling", []),
        library("JSON", ["Spelling"]),
        library("Tracing", ["JSON", "System"]),
        library("NetworkPolicy", ["Addresses", "JSON"]),
        library("Supervision", ["System", "CLinux", logging]),
        library("DNSFilter", ["Addresses", "NetworkPolicy", "System", "CLinux", "COpenSSL"]),
        library("Netfilter", ["Addresses", "NetworkPolicy", "System", "CLinux", "CMnl", "CNftnl"]),
        .target(
            name: "Egress",
            dependencies: [
                "Addresses", "JSON", "NetworkPolicy", "DNSFilter", "Netfilter", "FlowCheck", "HTTPWire", "HTTPServer",
                "HTTPClient", "System", "Tracing", "CLinux", logging, metrics,
            ] + nio, exclude: ["FlowCheck", "Remote", "Sidecar"], swiftSettings: strict + warnings),
        .target(
            name: "FlowCheck",
            dependencies: ["Addresses", "NetworkPolicy", "DNSFilter", "HTTPWire", "System", "CLinux"] + nio,
            path: "Sources/Egress/FlowCheck", swiftSettings: strict + warnings),
        // Apart from the guard, since a sidecar asks no other one.
        .target(
            name: "EgressRemote",
            dependencies: ["Egress", "HTTPClient", "HTTPServer", "JSON", "NetworkPolicy", "Netfilter", "Tracing"] + nio,
            path: "Sources/Egress/Remote",
            swiftSettings: strict + warnings),
        .target(
            name: "EgressSidecar",
            dependencies: [
                "Addresses", "Spelling", "NetworkPolicy", "DNSFilter", "Netfilter", "FlowCheck", "Egress", "HTTPServer",
                "HTTPClient", "System", "Tracing", "CLinux", logging,
            ] + nio, path: "Sources/Egress/Sidecar", swiftSettings: strict + warnings),
        library("SecureAccess", ["System", "COpenSSL"]),
        library("HTTPWire", ["Tracing"] + nio),
        library("HTTPServer", ["HTTPWire", "JSON", "System", "Tracing", webSocket] + nio + [logging]),
        // Apart from the server, since execd and the sidecar serve without.
        library("ServerTLS", ["HTTPServer", "System", logging, nio[0]] + http2.prefix(2)),
        library("SafeText", []),
        library("LogLines", ["JSON", "SafeText", "System", "Tracing", logging]),
        library("HTTPClient", ["Addresses", "SafeText", "System", "CCurl"]),
        library("Client", ["HTTPClient", "HTTPServer", "JSON", "SafeText", "System"] + nio.prefix(3) + http2[1...1]),
        library(
            "Redis",
            [
                "System", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]),
        library(
            "Ingress",
            [
                "Addresses", "JSON", "System", "HTTPWire", "HTTPServer", "ServerTLS", "SecureAccess", "Redis",
                "Tracing", logging, metrics,
            ] + nio + http2),
        library(
            "Runtimes",
            [
                "Addresses", "HTTPClient", "JSON", "Netfilter", "NetworkPolicy", "SafeText", "Spelling", "System",
                "Tracing", "CLinux", "COpenSSL", logging, metrics,
            ]),
        library(
            "Execd",
            [
                "JSON", "Spelling", "HTTPWire", "HTTPServer", "LogLines", "System", "Tracing", "CLinux", logging,
                webSocket,
            ] + nio),
        .executableTarget(
            name: "ExecdProgram", dependencies: ["Execd", "System"], path: "Sources/Programs/execd",
            swiftSettings: strict + warnings, linkerSettings: alone),
        library(
            "Observability",
            ["HTTPClient", "LogLines", "SafeText", "System", "Tracing", logging, metrics, coreMetrics]),
        library(
            "ControlPlane",
            [
                "Addresses", "JSON", "Spelling", "NetworkPolicy", "DNSFilter", "Netfilter", "FlowCheck", "Egress",
                "EgressRemote", "Ingress", "SecureAccess", "Redis", "HTTPWire", "HTTPServer", "HTTPClient", "Runtimes",
                "ServerTLS",
                "System", "Supervision", "Tracing", "CLinux", "Observability", "SafeText", logging, metrics,
                .product(name: "GRDB", package: "GRDB.swift"), .product(name: "TOMLKit", package: "TOMLKit"),
            ] + nio),
        .target(
            name: "ProgramSupport", dependencies: ["SafeText", "System"], path: "Sources/Programs/Support",
            swiftSettings: strict + warnings),
        .executableTarget(
            name: "sallyport",
            dependencies: [
                "Client", "ControlPlane", "HTTPClient", "Ingress", "JSON", "Netfilter", "NetworkPolicy", "SecureAccess",
                "ServerTLS",
                "Observability", "ProgramSupport", "SafeText", "Spelling", "Supervision", "System", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Programs/sallyport", swiftSettings: strict + warnings),

        .executableTarget(
            name: "sallyport-egress",
            dependencies: [
                "Egress", "EgressSidecar", "DNSFilter", "NetworkPolicy", "CLinux", "Observability", "System", logging,
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/Programs/sallyport-egress", swiftSettings: strict + warnings, linkerSettings: startsAtOnce),

        .executableTarget(
            name: "sallyport-ingress",
            dependencies: [
                "Spelling", "HTTPServer", "Ingress", "SecureAccess", "ServerTLS", "Redis", "Observability",
                "ProgramSupport", "Supervision", "System", logging,
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Programs/sallyport-ingress", swiftSettings: strict + warnings),

        .target(
            name: "TestSupport",
            dependencies: ["Addresses", "System", "Netfilter", "NetworkPolicy", webSocket, logging] + nio,
            path: "Tests/TestSupport",
            swiftSettings: strict + warnings),
        tests("Spelling"),
        tests("JSON", ["Spelling"]),
        tests("Tracing", ["JSON"]),
        tests("NetworkPolicy", ["Addresses"]),
        tests("Addresses"),
        tests("System", ["Addresses", "TestSupport"]),
        tests("DNSFilter", ["Addresses", "NetworkPolicy", "System", "COpenSSL"]),
        tests("Netfilter", ["Addresses", "NetworkPolicy", "System"]),
        tests(
            "Egress",
            [
                "Addresses", "EgressSidecar", "sallyport-egress", "FlowCheck", "HTTPServer", "HTTPClient",
                "NetworkPolicy", "DNSFilter",
                "Netfilter",
                "System",
                "TestSupport", logging,
            ] + nio),
        tests("SecureAccess", exclude: ["Vectors"]),
        .testTarget(
            name: "GuardedSandboxTests",
            dependencies: [
                "Addresses", "Egress", "DNSFilter", "Netfilter", "NetworkPolicy", "Runtimes", "TestSupport", logging,
            ]
                + nio,
            swiftSettings: strict + warnings),
        tests(
            "Runtimes",
            [
                "Addresses", "HTTPClient", "JSON", "Netfilter", "NetworkPolicy", "Spelling", "System", "TestSupport",
                logging,
            ]
                + nio),
        tests("Execd", ["HTTPServer", "JSON", "Spelling", "System", "TestSupport", "Tracing"] + nio),
        tests("HTTPWire", nio),
        tests("HTTPServer", ["HTTPWire", "System", "TestSupport", "Tracing", logging, webSocket] + nio),
        tests(
            "Ingress",
            [
                "SecureAccess", "Redis", "HTTPWire", "HTTPServer", "System", "TestSupport", "Tracing", logging,
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]
                + nio + http2),
        tests("Observability", ["HTTPClient", "LogLines", "System", "TestSupport", "Tracing", logging, coreMetrics]),
        tests("HTTPClient", ["Addresses", "System", "TestSupport"] + nio + http2),
        tests("Client", ["HTTPClient", "JSON", "SafeText"]),
        tests("SafeText"),
        tests("ServerTLS", ["HTTPServer", "TestSupport", logging] + nio + http2),
        tests("Redis", ["TestSupport"]),
        tests("Supervision", ["TestSupport"]),
        fuzzers,
        tests(
            "ControlPlane",
            [
                "Addresses", "JSON", "NetworkPolicy", "Netfilter", "Egress", "EgressRemote", "EgressSidecar",
                "FlowCheck",
                "Runtimes", "SecureAccess",
                "HTTPServer", "Ingress", "Redis", "ServerTLS", "Spelling", "System", "TestSupport", logging,
                .product(name: "GRDB", package: "GRDB.swift"),
            ]
                + nio
        ),
    ] + benchmarks,
    swiftLanguageModes: [.v6]
)
