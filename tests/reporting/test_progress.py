from metrics.catalogue import FID, KID
from reporting.progress import scoring


def test_a_log_gets_a_line_for_each_evaluation(capsys):
    assert list(scoring([FID, KID])) == [FID, KID]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scored")]
    assert [line.split()[1] for line in lines] == ["fid", "kid"]


def test_the_terminal_names_the_evaluation_at_work(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the output for a terminal
    evaluations = scoring([FID, KID])
    assert next(evaluations) is FID and next(evaluations) is KID
    evaluations.close()
    shown = capsys.readouterr().out
    assert "1/2" in shown and "kid" in shown and "scored" not in shown
