// swift-tools-version: 6.1
// SwiftPM's own pkg-config reader refuses libdpdk.pc (a three-line Description) and silently drops the flags of
// libdpdk-libs.pc (-include, -march), so this manifest runs pkg-config itself and passes the flags on.
//
// NEEDLETAIL_WITHOUT_DPDK=1  leaves out every floor that needs DPDK: what remains builds and tests on any machine.
// NEEDLETAIL_CPU=znver4      the CPU to compile for, in Swift, in C and in DPDK's inline code (default: the baseline
//                            that the installed DPDK was built for, so that a release runs wherever DPDK does).
import Foundation
import PackageDescription

/// What a command prints, as words; nil if it is missing or fails.
func words(_ command: String, _ arguments: [String]) -> [String]? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [command] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = Pipe()
    do { try process.run() } catch { return nil }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { return nil }
    return String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
}

let environment = ProcessInfo.processInfo.environment
let withoutDPDK = environment["NEEDLETAIL_WITHOUT_DPDK"] != nil
let cpu = environment["NEEDLETAIL_CPU"]

/// Compiler and linker words for DPDK. A machine without it gets a message that says what to install.
func dpdkFlags() -> (compile: [String], link: [String]) {
    guard let compile = words("pkg-config", ["--cflags", "libdpdk"]), let link = words("pkg-config", ["--libs", "libdpdk"]) else {
        fatalError("""

            needletail: pkg-config does not find libdpdk. On Debian: scripts/setup
            (or: apt-get install libdpdk-dev libpcap-dev libnuma-dev pkg-config).
            To build only what needs no DPDK: NEEDLETAIL_WITHOUT_DPDK=1 swift build

            """)
    }
    let flags = compile.map { $0.hasPrefix("-march=") && cpu != nil ? "-march=\(cpu!)" : $0 }
    // The Swift driver rejects -Wl words; net_ring and the vdev bus are plugins that pkg-config does not list.
    return (flags, link.filter { $0.hasPrefix("-l") || $0.hasPrefix("-L") } + ["-lrte_net_ring", "-lrte_bus_vdev"])
}
let dpdk = withoutDPDK ? (compile: [], link: []) : dpdkFlags()

let swiftTarget: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    // The slow path and the workers are single-writer by design; a dynamic exclusivity check per field costs 20 ns.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
] + (cpu.map { [.unsafeFlags(["-Xcc", "-march=\($0)"]), .unsafeFlags(["-Xcc", "-mtune=\($0)", "-target-cpu", $0])] } ?? [])
let swiftOnDPDK: [SwiftSetting] = swiftTarget + [
    .unsafeFlags(dpdk.compile.flatMap { ["-Xcc", $0] } + ["-Xcc", "-DALLOW_EXPERIMENTAL_API"]),
]

var dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/LebJe/TOMLKit.git", from: "0.6.0"),
]
var products: [Product] = []
func floor(_ name: String, _ down: [Target.Dependency] = []) -> [Target] {
    [
        .target(name: name, dependencies: down, swiftSettings: swiftTarget),
        .testTarget(name: "\(name)Tests", dependencies: [.target(name: name)] + down, swiftSettings: swiftTarget),
    ]
}

// The floors of docs/architecture.md: an arrow may only point down.
var targets: [Target] = floor("Wire")
    + floor("Configuration", ["Wire", .product(name: "TOMLKit", package: "TOMLKit")])
    + floor("Ruleset")
    + floor("Routing", ["Wire"])
    + floor("Conntrack", ["Wire", "CIntrinsics"])
    + floor("Policy", ["CIntrinsics", "Wire", "Ruleset"])
    + floor("FlowCache", ["Wire", "CIntrinsics"])
    + floor("SlowPath", ["CIntrinsics", "Wire", "Ruleset", "Policy", "Conntrack", "Routing", "FlowCache"])

targets.append(.target(name: "CIntrinsics", path: "CShims/CIntrinsics", cSettings: [.unsafeFlags(["-Wall", "-Wextra"])]))

// The fuzzer of the slow path: no DPDK, no root.
targets += [.executableTarget(
    name: "needletail-fuzz", dependencies: ["Wire", "Ruleset", "Policy", "Conntrack", "Routing", "FlowCache", "SlowPath"], path: "Tests/Fuzz", swiftSettings: swiftTarget)]

// The fuzzer of the nft language: no DPDK, no root.
targets += [.executableTarget(name: "needletail-fuzz-nft", dependencies: ["Ruleset"], path: "Tests/FuzzNFT", swiftSettings: swiftTarget)]

// What random dialogues are played to, for Tests/KernelDifferential: the slow path and the flow cache as a process that frames are piped
// through. No DPDK, no root.
let dialogueParts: [Target.Dependency] = ["Wire", "Ruleset", "Policy", "Conntrack", "Routing", "FlowCache", "SlowPath"]
targets += [
    .target(name: "DialogueEngine", dependencies: dialogueParts, path: "Tests/KernelDifferential/Engine", swiftSettings: swiftTarget),
    .executableTarget(name: "packet-engine", dependencies: ["DialogueEngine"], path: "Tests/KernelDifferential/PacketEngine", swiftSettings: swiftTarget),
]

// First packets of connections through the slow path, for scripts/check-instructions: no DPDK, no root.
targets += [.executableTarget(
    name: "new-connection-instructions", dependencies: ["Wire", "Ruleset", "Policy", "Conntrack", "Routing", "FlowCache", "SlowPath"],
    path: "Tests/NewConnectionInstructions", swiftSettings: swiftTarget)]

// The rule-by-packet truth table, asked of the evaluator directly: no DPDK, no root.
targets += [.executableTarget(name: "match-matrix", dependencies: ["Wire", "Ruleset", "Policy", "Conntrack"], swiftSettings: swiftTarget)]

if !withoutDPDK {
    dependencies += [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/swhitty/FlyingFox.git", from: "0.27.1"),
    ]
    products += [.executable(name: "needletail", targets: ["needletail"])]
    let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
    func above(_ name: String, _ down: [Target.Dependency], tests: Bool, testing: [Target.Dependency] = []) -> [Target] {
        [.target(name: name, dependencies: down, swiftSettings: swiftOnDPDK)]
            + (tests ? [.testTarget(name: "\(name)Tests", dependencies: [.target(name: name)] + down + testing, swiftSettings: swiftOnDPDK)] : [])
    }
    targets += [
        .target(
            name: "CDPDK", path: "CShims/CDPDK",
            cSettings: [.unsafeFlags(dpdk.compile + ["-DALLOW_EXPERIMENTAL_API", "-O2", "-Wall", "-Wextra"])],
            // nt_af_packet.c: DPDK's drivers are plugins and have to find its symbol in the executable.
            linkerSettings: [.unsafeFlags(dpdk.link + ["-Xlinker", "--export-dynamic-symbol=setsockopt"])]),
        .systemLibrary(name: "CPcap", path: "CShims/CPcap", providers: [.apt(["libpcap-dev"])]),
        .systemLibrary(name: "CNuma", path: "CShims/CNuma", providers: [.apt(["libnuma-dev"])]),
    ]
    targets += above("DPDK", ["CDPDK", "CNuma", "CPcap", "Wire", "Routing"], tests: true, testing: ["Conntrack"])
    targets += above("Offload", ["CDPDK", "DPDK", "Wire", "FlowCache"], tests: true)
    targets += above("Dataplane", ["CDPDK", "CIntrinsics", "DPDK", "Offload", "Configuration", "SlowPath", "Wire", "FlowCache", "Policy", "Ruleset", "Conntrack", "Routing", logging], tests: true)
    targets += above("Control", ["Dataplane", "Configuration", "Ruleset", "Policy", "SlowPath", "Offload", logging,
                                 .product(name: "FlyingFox", package: "FlyingFox"), .product(name: "FlyingSocks", package: "FlyingFox")], tests: false)
    targets += [
        .executableTarget(
            name: "needletail",
            dependencies: ["Control", "Dataplane", "Configuration", "Ruleset", "SlowPath", "Policy", "Conntrack", "Routing", "DPDK", "Offload", "CDPDK", "FlowCache", "Wire", logging,
                           .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swiftOnDPDK),
        // The same with real workers, rings and the slow-path core, for the invisibility of the flow cache: no root.
        .executableTarget(
            name: "worker-engine", dependencies: ["DialogueEngine", "Dataplane", "DPDK", "Conntrack", "FlowCache", "SlowPath", "Routing", "Wire"],
            path: "Tests/KernelDifferential/WorkerEngine", swiftSettings: swiftOnDPDK),
        // The worker loop over packets in memory, for scripts/check-instructions: no EAL, no root.
        .executableTarget(
            name: "worker-instructions", dependencies: ["Dataplane", "DPDK", "CDPDK", "Conntrack", "FlowCache", "Wire"], path: "Tests/WorkerInstructions",
            exclude: ["thresholds"], swiftSettings: swiftOnDPDK),
        .testTarget(name: "EndToEndTests", dependencies: ["Wire", "Configuration"], swiftSettings: swiftTarget),
    ]
}

let package = Package(name: "needletail", products: products, dependencies: dependencies, targets: targets)
