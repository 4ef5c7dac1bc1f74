// The EAL's configuration and its errors; what can be checked without starting it again.
import DPDK
import Testing

@Suite struct EALConfigurationTests {
    private let cpu = EALConfiguration.allowedCPUs.first ?? 0

    @Test func lcoresShareCPUs() throws {
        var configuration = EALConfiguration(mainCPU: cpu, slowPathCPU: cpu, workerCPUs: [cpu, cpu], hugePages: false, memoryMB: 64)
        configuration.filePrefix = "x"
        #expect(try configuration.arguments() == ["needletail", "--main-lcore=0", "--lcores=0@\(cpu),1@\(cpu),2@\(cpu),3@\(cpu)", "--no-huge", "--no-shconf",
                                                  "-m", "64", "--no-pci", "--file-prefix=x", "--no-telemetry", "--log-level=warning"])
    }

    @Test func devicesAndHugePages() throws {
        var configuration = EALConfiguration(mainCPU: cpu, workerCPUs: [], hugePages: true)
        configuration.pciDevices = ["0000:01:00.0,dv_flow_en=1", "02:00.1"]
        configuration.telemetry = true
        configuration.filePrefix = "x"
        #expect(try configuration.arguments() == ["needletail", "--main-lcore=0", "--lcores=0@\(cpu)", "--in-memory", "-a", "0000:01:00.0,dv_flow_en=1", "-a", "02:00.1",
                                                  "--file-prefix=x", "--log-level=warning"])
    }

    @Test func mistakesAreNamed() {
        func message(_ change: (inout EALConfiguration) -> Void) -> String {
            var configuration = EALConfiguration(mainCPU: cpu, workerCPUs: [], hugePages: false, memoryMB: 64)
            change(&configuration)
            do {
                _ = try configuration.arguments()
                return "no error"
            } catch { return "\(error)" }
        }
        #expect(message { $0.workerCPUs = [900] }.hasPrefix("CPU 900 is not available to this process; choose among"))
        #expect(message { $0.memoryMB = 8 } == "8 MB of memory is too little without huge pages; use 64 MB or more")
        #expect(message { $0.memoryMB = -1 }.contains("out of range"))
        #expect(message { $0.pciDevices = ["eth0"] }.hasPrefix("'eth0' is not a device"))
        #expect(message { $0.pciDevices = ["net_null0"] } == "'net_null0' is not a PCI address; write it as 0000:01:00.0")
        #expect(message { $0.workerCPUs = Array(repeating: cpu, count: 200) }.contains("more than DPDK's 128"))
    }

    @Test(arguments: [
        ("0000:01:00.0", PortDevice.Bus.pci, "0000:01:00.0", ""), ("01:00.7,a=b,c", .pci, "01:00.7", "a=b,c"),
        ("net_pcap0,rx_pcap=a,b.pcap", .virtual, "net_pcap0", "rx_pcap=a,b.pcap"), ("net_null_x-1", .virtual, "net_null_x-1", ""),
    ]) func devices(_ text: String, _ bus: PortDevice.Bus, _ name: String, _ arguments: String) throws {
        let device = try PortDevice(text)
        #expect(device.bus == bus && device.name == name && device.arguments == arguments)
    }

    @Test(arguments: ["", ",", "eth0", "0000:01:00", "0000:01:00.8", "0000:01:20.0", "zz:00.0", "net_nüll0", "net_null 0", "--vdev=net_null0"])
    func noDevices(_ text: String) { #expect(throws: DPDKError.self) { try PortDevice(text) } }
}

extension DPDKSuite {
    @Test func ealRunsOnce() {
        #expect(EAL.current != nil)
        #expect { try EAL.start(.small()) } throws: { ($0 as? DPDKError)?.kind == .state }
        #expect(EAL.hasHugePages == false)
        #expect(Clock.ticksPerSecond > 100_000_000)
    }
}
