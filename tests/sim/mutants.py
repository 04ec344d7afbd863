"""Breaks the exactly-once machines, one rule at a time, and expects the simulator to notice.

SPDX-License-Identifier: Apache-2.0

Each row is a small breakage of one rule. A copy of the file is changed (the old text must be there
exactly once, white space aside, so that a row cannot go stale unseen), compiled with the simulator,
and run over seeds until one fails. A mutant that survives means that the simulator does not check
that rule.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

LEDGER, PUSHER, RESOLUTION = "server/ledger.c", "client/pusher.c", "checkpoint/resolution.c"
MACHINES = [LEDGER, PUSHER, RESOLUTION]
COMMON = ["core/alloc.c", "core/bytes.c", "core/status.c", "core/philox.c"] + [
    "tests/sim/sim_%s.c" % part
    for part in ("main", "network", "oracle", "process", "ps", "run")
]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-w"]
LIBRARIES = ["-lisal", "-lm", "-lpthread"]

# (file, rule that is broken, old text, new text)
MUTANTS = [
    (LEDGER, "a push is found by its number",
     "(*place)->seq < seq", "(*place)->seq <= seq"),
    (LEDGER, "what is committed is not staged again",
     "if (request->seq <= page->committed) { return PS_OFFER_COMMITTED; }",
     "if (request->seq < page->committed) { return PS_OFFER_COMMITTED; }"),
    (LEDGER, "frames of a dead incarnation are fenced",
     "if (ps_page_admit(page, request->incarnation, err) != PS_OK) { return PS_OFFER_FENCED; }",
     ""),
    (LEDGER, "a burnt number is never staged",
     "if (open->state == PS_OPEN_BURNT) { return PS_OFFER_BURNT; }", ""),
    (LEDGER, "a frame that is here is a duplicate",
     "return has_arrived(open, request->push.frame_index) ? PS_OFFER_DUPLICATE : PS_OFFER_NEW;",
     "return PS_OFFER_NEW;"),
    (LEDGER, "a kept frame is remembered",
     "open->arrived[frame_index / 8u] |= (uint8_t)(1u << (frame_index % 8u));", ""),
    (LEDGER, "staged means all frames",
     "if (open->frames_missing == 0) { open->state",
     "if (open->frames_missing <= 1) { open->state"),
    (LEDGER, "a burn takes effect on what is here",
     "    release_frames(page, open);\n    open->state = PS_OPEN_BURNT;",
     "    release_frames(page, open);"),
    (LEDGER, "a burn of a number not seen yet is remembered",
     "        open->state = PS_OPEN_BURNT;\n        link_in(page, place, open);",
     "        ps_free(open);"),
    (LEDGER, "a burn gives the credit back",
     "    page->staged_bytes -= reserved_bytes(open);\n    release_frames(page, open);",
     "    release_frames(page, open);"),
    (LEDGER, "a push that is let go gives the credit back",
     "    page->open_count--;\n    page->staged_bytes -= reserved_bytes(open);",
     "    page->open_count--;"),
    (LEDGER, "a push reserves its credit",
     "    page->open_count++;\n    page->staged_bytes += reserved_bytes(open);",
     "    page->open_count++;"),
    (LEDGER, "an eager push needs no credit",
     "return open->header.eager || open->state == PS_OPEN_BURNT ? 0",
     "return open->state == PS_OPEN_BURNT ? 0"),
    (LEDGER, "frames are released when a push is let go",
     "    release_frames(page, open);\n    ps_free(open->arrived);", "    ps_free(open->arrived);"),
    (LEDGER, "a burnt push is not committed",
     "if (open->state == PS_OPEN_STAGED) {\n            to->commit",
     "if (open->state != PS_OPEN_ARRIVING) {\n            to->commit"),
    (LEDGER, "a staged push is committed",
     "            to->commit(to->ctx, page, open);\n", ""),
    (LEDGER, "a notice includes its number",
     "(*place)->seq <= through)", "(*place)->seq < through)"),
    (LEDGER, "a notice ends at its number",
     "while (*place != NULL && (*place)->seq <= through)", "while (*place != NULL)"),
    (LEDGER, "numbers that did not touch a task pass",
     "    if (through > page->committed) { page->committed = through; }\n", ""),
    (LEDGER, "the position follows the commits",
     "    if (from.size == 0) { return; }",
     "    if (from.size == 0 || page->position.size > 0) { return; }"),
    (LEDGER, "what a resolve burnt stays known",
     "settle(page, through, true,", "settle(page, through, false,"),
    (LEDGER, "a resolve discards what is above",
     "    while (*above != NULL) { unlink_at(page, above); }\n", "    (void)above;\n"),
    (LEDGER, "a resolve burns what others burnt",
     "i < request->burnt_count", "i < request->burnt_count && false"),
    (LEDGER, "a resolve counts once",
     "    if (page->resolved) { return PS_OK; }\n", ""),
    (LEDGER, "a resolve opens the page",
     "    page->resolved = true;\n", ""),
    (LEDGER, "only the holder of a page resolves it",
     "page->incarnation == 0 || request->incarnation != page->incarnation",
     "page->incarnation == 0"),
    (LEDGER, "an older incarnation cannot attach",
     "if (incarnation < page->incarnation) { return false; }", ""),
    (LEDGER, "two processes cannot share a number",
     "return incarnation > 0 && process == page->process;", "return incarnation > 0;"),
    (LEDGER, "a new incarnation must resolve",
     "    page->resolved = false;\n", ""),
    (LEDGER, "attaching fences",
     "    page->incarnation = incarnation;\n",
     "    if (page->incarnation == 0) { page->incarnation = incarnation; }\n"),
    (LEDGER, "an older incarnation is not admitted",
     "    if (incarnation < page->incarnation) {\n        return ps_fail",
     "    if (false) {\n        return ps_fail"),
    (PUSHER, "pushes are decided in order",
     "if (!is_settled(f)) { return; }", "if (!is_settled(f)) { continue; }"),
    (PUSHER, "a push is decided when all peers have answered",
     "if (flight->parts[i].state != wanted) { return false; }",
     "if (i == 0 && flight->parts[i].state != wanted) { return false; }"),
    (PUSHER, "a refused push is decided when all have withdrawn it",
     "    enum ps_part_state wanted =",
     "    if (flight->refused) { return true; }\n    enum ps_part_state wanted ="),
    (PUSHER, "a notice names decided pushes only",
     "pusher->decided_through = f->seq;", "pusher->decided_through = f->seq + 1;"),
    (PUSHER, "a refused push is withdrawn from all",
     "        flight->parts[i].state = PS_PART_WITHDRAW;",
     "        if (flight->parts[i].peer == peer) { flight->parts[i].state = PS_PART_WITHDRAW; }"),
    (PUSHER, "a refusal is a refusal",
     "    flight->refused = true;\n", ""),
    (PUSHER, "a late answer does not undo a withdrawal",
     "if (part == NULL || (part->state != PS_PART_SENDING && part->state != PS_PART_SENT)) {"
     " return; }",
     "if (part == NULL) { return; }"),
    (PUSHER, "frames on a lost connection go again",
     "if (part->state == PS_PART_SENT || part->state == PS_PART_SENDING) {",
     "if (part->state == PS_PART_SENDING) {"),
    (PUSHER, "all of them",
     "            part->next_frame = 0;\n",
     "            if (part->next_frame == part->frame_count) { part->next_frame--; }\n"),
    (PUSHER, "a lost withdrawal goes again",
     "part->state = PS_PART_WITHDRAW;\n        }", ";\n        }"),
    (PUSHER, "a lost notice goes again",
     "    pusher->peers[peer].noticed_through = pusher->peers[peer].committed_through;\n", ""),
    (PUSHER, "a notice goes alone if nothing else does",
     "send.kind == PS_SEND_NOTHING && to->noticed_through < pusher->decided_through",
     "false"),
    (PUSHER, "every frame is sent",
     "if (part->next_frame == part->frame_count) {",
     "if (part->next_frame + 1 >= part->frame_count) {"),
    (PUSHER, "numbers go on after what is committed",
     "    pusher->last_seq = committed;\n", ""),
    (PUSHER, "credit comes back with a commit",
     "if (part != NULL) { from->outstanding_bytes -= part->size_bytes; }", "(void)part;"),
    (PUSHER, "once",
     "f->seq > before ? find_part(f, peer) : NULL", "find_part(f, peer)"),
    (PUSHER, "a push takes credit",
     "        pusher->peers[parts[i].peer].outstanding_bytes += parts[i].size_bytes;\n", ""),
    (PUSHER, "a push waits for credit",
     "if (peer->outstanding_bytes > peer->credit_bytes - parts[i].size_bytes) {", "if (false) {"),
    (PUSHER, "a push waits for the window",
     "committed_through >= PS_MAX_OPEN_PUSHES / 2) {",
     "committed_through >= PS_MAX_OPEN_PUSHES * 2) {"),
    (PUSHER, "a flight is kept until it is committed",
     "!flight->decided || !is_committed_everywhere(pusher, flight)", "!flight->decided"),
    (PUSHER, "a peer is awaited until it has committed",
     "if (pusher->peers[peer].committed_through < pusher->decided_through) { return true; }", ""),
    (PUSHER, "a peer is awaited until it has answered",
     "if (part->state != PS_PART_STAGED && part->state != PS_PART_WITHDRAWN) { return true; }", ""),
    (RESOLUTION, "staged means complete",
     "(open != NULL && open->complete)", "open != NULL"),
    (RESOLUTION, "burnt numbers are passed",
     "if (open != NULL && open->burnt) { return true; }", ""),
    (RESOLUTION, "burnt anywhere",
     "static bool is_burnt_anywhere(const struct ps_survey *surveys, uint32_t task_count,"
     " uint64_t seq)\n{",
     "static bool is_burnt_anywhere(const struct ps_survey *surveys, uint32_t task_count,"
     " uint64_t seq)\n{\n    task_count = 1;"),
    (RESOLUTION, "staged on all tasks that it touched",
     "for (size_t i = 0; i < open->touched_count; i++)", "for (size_t i = 0; i < 1; i++)"),
    (RESOLUTION, "committed anywhere counts",
     "if (committed > resolution.commit_through) {", "if (task == 0) {"),
    (RESOLUTION, "burnt numbers below the highest commit are listed",
     "for (uint64_t seq = lowest + 1;; seq++)",
     "for (uint64_t seq = resolution.commit_through + 1;; seq++)"),
    (RESOLUTION, "a burnt number ends nothing",
     "if (!committed && !burnt &&", "if (!committed &&"),
    (RESOLUTION, "what is staged everywhere counts",
     "        if (!committed) { resolution.commit_through = seq; }\n", ""),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)


class Workshop:
    """Compiles the simulator around one changed machine at a time."""

    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder
        self.objects = {name: self.compile(name, os.path.join(arguments.root, name))
                        for name in COMMON + MACHINES}

    def compile(self, name, source):
        target = os.path.join(self.folder, name.replace("/", "_") + ".o")
        include = ["-I", self.arguments.root]
        done = run([self.arguments.cc, *FLAGS, *include, "-c", source, "-o", target])
        if done.returncode != 0:
            sys.exit("mutants: %s does not compile:\n%s" % (name, done.stdout))
        return target

    def simulate(self, objects):
        """Returns None if every seed passes, or the first line of what went wrong."""
        program = os.path.join(self.folder, "sim")
        done = run([self.arguments.cc, *objects.values(), *LIBRARIES, "-o", program])
        if done.returncode != 0:
            sys.exit("mutants: the simulator does not link:\n%s" % done.stdout)
        try:
            done = run([program, "--runs", str(self.arguments.runs)], timeout=60)
        except subprocess.TimeoutExpired:
            return "it never ended"
        if done.returncode == 0:
            return None
        lines = done.stdout.strip().splitlines() or ["died with %d" % done.returncode]
        seeds = [line.split(":")[0] for line in lines if line.startswith("seed ")]
        seed = seeds[-1] if seeds else ""
        return "%s (%s)" % (lines[0].replace("sim: ", "", 1), seed or "signal")

    def mutate(self, index, mutant):
        name, rule, old, new = mutant
        with open(os.path.join(self.arguments.root, name), encoding="utf-8") as file:
            text = file.read()
        pattern = r"\s+".join(re.escape(word) for word in old.split())
        changed, count = re.subn(pattern, lambda _: new, text)
        if count != 1:
            sys.exit("mutants: row %d (%s: %s) matches %d times, must match once:\n%s"
                     % (index, name, rule, count, old))
        source = os.path.join(self.folder, "mutant.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(changed)
        return self.simulate({**self.objects, name: self.compile("mutant", source)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="top folder of the sources")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--runs", type=int, default=20000, help="seeds that a mutant may survive")
    parser.add_argument("--row", type=int, help="only this row")
    arguments = parser.parse_args()
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        workshop = Workshop(arguments, folder)
        fault = workshop.simulate(workshop.objects)
        if fault is not None:
            sys.exit("mutants: the machines as they are fail: %s" % fault)
        for index, mutant in enumerate(MUTANTS):
            if arguments.row is not None and index != arguments.row:
                continue
            caught = workshop.mutate(index, mutant)
            survivors += caught is None
            print("%2d %-9s %-10s %s\n      %s" % (index, "caught" if caught else "SURVIVES",
                  os.path.basename(mutant[0])[:-2], mutant[1], caught or ""), flush=True)
    print("mutants: %d rows, %d survive %d seeds" % (len(MUTANTS), survivors, arguments.runs))
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
