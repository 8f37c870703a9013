-- For wrk: how many answers of which status have come.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init()
    ok, late, other = 0, 0, 0
end

function response(status)
    if status == 200 then ok = ok + 1 elseif status == 504 then late = late + 1 else other = other + 1 end
end

function done(summary)
    local sums = { ok = 0, late = 0, other = 0 }
    for _, thread in ipairs(threads) do
        for name, sum in pairs(sums) do sums[name] = sum + thread:get(name) end
    end
    local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    print(string.format("counts %d %d %d %d", sums.ok, sums.late, sums.other, errors))
end
