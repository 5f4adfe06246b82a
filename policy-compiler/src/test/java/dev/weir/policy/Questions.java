// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.Oracle.Asked;
import dev.weir.policy.Oracle.Side;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.reference.Party;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.List;

/**
 * Plans of random clusters with questions about connections and the answers of the reference
 * evaluator, for whoever holds a plan's tables: the kernel tests start this as a process and ask
 * the kernel the same ({@code ReferenceInKernelTest}).
 *
 * <p>Written to standard output, as {@link DataOutputStream} does: for each cluster the seed (8
 * bytes), the plan's length (4) and the plan, the number of questions (4); for each question the
 * source and the destination, its protocol (1, ordinal), its port (4) and the expected outcome (1,
 * ordinal of {@link dev.weir.policy.reference.Outcome}). A source or destination is the index of a
 * workload in the plan (4), or -1 and an address (16).
 */
final class Questions {

  private Questions() {}

  /**
   * Runs.
   *
   * @param args seed of the first cluster, number of clusters, questions about each
   */
  public static void main(String[] args) throws IOException {
    long first = Long.parseLong(args[0]);
    int clusters = Integer.parseInt(args[1]);
    int each = Integer.parseInt(args[2]);
    DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
    for (long seed = first; seed < first + clusters; seed++) {
      Oracle oracle = Oracle.of(RandomClusters.documents(seed, Fuzz.FEATURES), seed);
      byte[] plan = PlanCodec.encode(oracle.plan);
      out.writeLong(seed);
      out.writeInt(plan.length);
      out.write(plan);
      List<Asked> questions = oracle.connections(each);
      out.writeInt(questions.size());
      for (Asked asked : questions) {
        write(out, oracle, asked.from());
        write(out, oracle, asked.to());
        out.writeByte(asked.protocol().ordinal());
        out.writeInt(asked.port());
        out.writeByte(asked.expected().ordinal());
      }
    }
    out.flush();
  }

  private static void write(DataOutputStream out, Oracle oracle, Side side) throws IOException {
    switch (side.party()) {
      case Party.Declared declared -> out.writeInt(oracle.place(declared.workload()));
      case Party.TrustedAddress trusted -> write(out, trusted.address());
      case Party.Outside outside -> write(out, outside.address());
      case Party.Unknown() -> out.writeInt(Reserved.UNKNOWN.index());
      case Party.Host() -> out.writeInt(Reserved.HOST.index());
    }
  }

  private static void write(DataOutputStream out, Address address) throws IOException {
    out.writeInt(-1);
    out.write(address.bytes());
  }
}
