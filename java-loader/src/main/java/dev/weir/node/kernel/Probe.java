// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What this kernel or this user lacks. Asked by really loading: feature lists of kernels lie (a
 * distribution takes features out, and puts them in).
 */
final class Probe {

  private static final Path BTF = Path.of("/sys/kernel/btf/vmlinux");
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final int CAP_NET_ADMIN = 12;
  private static final int CAP_SYS_ADMIN = 21;

  private Probe() {}

  static List<String> missing(Places places) {
    List<String> missing = new ArrayList<>();
    if (!capable()) {
      missing.add(
          "privileges: attaching programs to cgroups and reading maps by their ids needs root"
              + " (CAP_SYS_ADMIN and CAP_NET_ADMIN); run it with sudo");
    }
    if (!Files.isReadable(BTF)) {
      missing.add(
          BTF
              + " is not there: this kernel was built without CONFIG_DEBUG_INFO_BTF; use a"
              + " distribution's kernel, 5.15 or newer");
    }
    try {
      Enrollment.Hierarchy.of(places.cgroupRoot());
      if (Enrollment.Hierarchy.namespaced()) {
        missing.add(
            "the first cgroup namespace: in this container's, paths of cgroups are not those of the"
                + " kernel; run it with the host's (docker run --cgroupns=host)");
      }
    } catch (NodeException e) {
      missing.add(String.valueOf(e.getMessage()));
    }
    if (!Pins.mountable(places.pinDir())) {
      missing.add("a bpf file system for " + places.pinDir() + ": mount -t bpf bpf /sys/fs/bpf");
    }
    if (missing.isEmpty()) {
      try (Mesh.Loaded loaded = Mesh.load(CompiledPrograms.read(), Map.of(), RevocationWay.BEST)) {
        loaded.mesh(); // it loads: nothing is missing
      } catch (BpfException | NodeException e) {
        missing.add(String.valueOf(e.getMessage()));
      }
    }
    return missing;
  }

  private static boolean capable() {
    try {
      for (String line : Files.readAllLines(STATUS)) {
        if (line.startsWith("CapEff:")) {
          long set = Long.parseUnsignedLong(line.substring("CapEff:".length()).strip(), 16);
          return (set >>> CAP_SYS_ADMIN & 1) == 1 && (set >>> CAP_NET_ADMIN & 1) == 1;
        }
      }
      return false;
    } catch (IOException e) {
      throw DurableFile.failed("read", STATUS, e);
    }
  }
}
